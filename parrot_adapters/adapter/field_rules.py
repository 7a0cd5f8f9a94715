"""Rules for the fields of a dataclass, stated where the fields are: ``num_experts: Annotated[int, WholeNumber(1)]``.

A field whose type allows None may be None whatever its rules say.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Annotated, Any, Protocol, get_args, get_origin, get_type_hints

from parrot_adapters.errors import suggest

__all__ = [
    "AllOrNumbers",
    "Names",
    "Number",
    "OneOf",
    "PlainOptions",
    "Rule",
    "Text",
    "WholeNumber",
    "field_faults",
    "field_rules",
]


class Rule(Protocol):
    """What a field's value has to be."""

    def fault(self, name: str, value: Any, owner: Any) -> str | None:
        """What is wrong with a value, as a sentence that begins with the field's name; None where nothing is.

        Args:
            name: Name of the field.
            value: Its value.
            owner: The dataclass instance, for rules that compare fields.
        """


@dataclass(frozen=True)
class Text:
    """Any string."""

    def fault(self, name: str, value: Any, owner: Any) -> str | None:
        return None if isinstance(value, str) else f"{name}={value!r} must be a string"


@dataclass(frozen=True)
class OneOf:
    """One of some strings.

    Attributes:
        meanings: What each string means, in words.
    """

    meanings: Mapping[str, str]

    def fault(self, name: str, value: Any, owner: Any) -> str | None:
        if not isinstance(value, str):
            return Text().fault(name, value, owner)
        if value in self.meanings:
            return None
        known = "; ".join(f"{key!r}: {meaning}" for key, meaning in self.meanings.items())
        return f"{name}={value!r} is unknown.{suggest(value, self.meanings)} Known: {known}"


@dataclass(frozen=True)
class WholeNumber:
    """A whole number; not a bool.

    Attributes:
        least: The smallest one allowed.
        most: The largest one allowed; a string names the field that holds it; None for no limit.
        in_words: How a message writes ``most`` where digits would not help.
    """

    least: int
    most: int | str | None = None
    in_words: str | None = None

    def fault(self, name: str, value: Any, owner: Any) -> str | None:
        most = getattr(owner, self.most) if isinstance(self.most, str) else self.most
        bounded = most is not None
        if _is_whole(value) and value >= self.least and (not bounded or (_is_whole(most) and value <= most)):
            return None
        none = "None or " if _allows_none(_hints(type(owner))[name]) else ""
        if not bounded:
            return f"{name}={value!r} must be {none}a whole number of at least {self.least}"
        limit = f"{self.most}={most!r}" if isinstance(self.most, str) else self.in_words or str(most)
        return f"{name}={value!r} must be {none}a whole number between {self.least} and {limit}"


@dataclass(frozen=True)
class Number:
    """A finite number; not a bool.

    Attributes:
        largest: The largest absolute value allowed.
    """

    largest: float

    def fault(self, name: str, value: Any, owner: Any) -> str | None:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return None if is_number and abs(value) <= self.largest else f"{name}={value!r} must be a finite number"


@dataclass(frozen=True)
class PlainOptions:
    """Keyword arguments that JSON can hold."""

    def fault(self, name: str, value: Any, owner: Any) -> str | None:
        if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
            return f"{name}={value!r} must be a mapping from names to values"
        try:
            json.dumps(dict(value), allow_nan=False)
        except (TypeError, ValueError, RecursionError) as error:
            return f"{name} must hold plain values that JSON can store: {error}"
        return None


@dataclass(frozen=True)
class Names:
    """A list of at least one name."""

    def fault(self, name: str, value: Any, owner: Any) -> str | None:
        several = isinstance(value, list | tuple) and bool(value)
        if several and all(isinstance(each, str) and each for each in value):
            return None
        return f"{name}={value!r} must be a list of names"


@dataclass(frozen=True)
class AllOrNumbers:
    """``"all"``, or a list of at least one number, counted from 0."""

    def fault(self, name: str, value: Any, owner: Any) -> str | None:
        several = isinstance(value, list | tuple) and bool(value)
        if value == "all" or (several and all(_is_whole(each) and each >= 0 for each in value)):
            return None
        return f"{name}={value!r} must be 'all' or a list of numbers, counted from 0"


def field_rules(owner: type) -> dict[str, tuple[Rule, ...]]:
    """The rules of each field of a dataclass, by name; a field without one has an empty tuple."""
    return {name: _rules(hint) for name, hint in _hints(owner).items()}


def field_faults(instance: Any) -> list[str]:
    """What is wrong with the fields of a dataclass instance, one sentence each, in the order of the fields."""
    found, hints = [], _hints(type(instance))
    for name, hint in hints.items():
        value = getattr(instance, name)
        if value is None and _allows_none(hint):
            continue
        rules = _rules(hint)
        found += [fault for rule in rules if (fault := rule.fault(name, value, instance)) is not None]
    return found


def _rules(hint: Any) -> tuple[Rule, ...]:
    return get_args(hint)[1:] if get_origin(hint) is Annotated else ()


def _hints(owner: type) -> dict[str, Any]:
    hints = get_type_hints(owner, include_extras=True)
    return {f.name: hints[f.name] for f in fields(owner)}


def _allows_none(hint: Any) -> bool:
    plain = get_args(hint)[0] if get_origin(hint) is Annotated else hint
    return type(None) in get_args(plain)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
