"""Faults of a configuration: each with its key path, what was given, and the nearest key there is."""

from __future__ import annotations

import copy
import functools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, get_args, get_type_hints

from parrot_adapters.errors import MissingDependencyError, suggest
from parrot_adapters.training.training_config import TrainingConfig

__all__ = ["Fault", "key_paths", "type_faults", "without"]

ITEM = "0"  # stands for any item of a list in key paths
# What stands in for a required key that is missing or faulty, so that the rest of a run can be checked all the same.
STAND_INS: dict[str, Any] = {
    "recipe": "retrofit",
    "out": ".",
    "path": ".",
    "host": {"path": "."},
    "data": {"sources": []},
    "sources": [],
}
EXPECTED = {
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "string_type": "must be text",
    "bool_type": "must be true or false",
    "dict_type": "must be a mapping of keys to values",
    "mapping_type": "must be a mapping of keys to values",
    "dataclass_type": "must be a mapping of keys to values",
    "tuple_type": "must be a list",
    "too_long": "must have {max_length} items",
}


@dataclass(frozen=True)
class Fault:
    """One thing wrong.

    Attributes:
        key: dotted path, items of lists by number.
        what: a sentence.
        unknown: the key itself is the fault, rather than its value.
    """

    key: str
    what: str
    unknown: bool = False


def type_faults(values: Mapping[str, Any]) -> tuple[TrainingConfig | None, list[Fault]]:
    """Build a configuration from plain data.

    Returns:
        the configuration, or None with everything that is unknown, missing or of the wrong type.

    Raises:
        MissingDependencyError: pydantic is not installed.
    """
    validator = _validator()
    from pydantic import ValidationError

    try:
        # As JSON, because strict there means what YAML's reader expects: a list is a tuple, but "1" is no number.
        return validator.validate_json(json.dumps(values), strict=True, extra="forbid"), []
    except ValidationError as error:
        return None, [_fault(found) for found in error.errors(include_url=False)]


def without(values: Mapping[str, Any], faults: Iterable[Fault]) -> dict[str, Any]:
    """A copy of plain data with the faulty keys left out or filled in, so that the rest can be looked at."""
    kept = copy.deepcopy(dict(values))
    for fault in faults:
        *parents, key = fault.key.split(".")
        while parents and not isinstance(_at(kept, parents), dict):  # an item of a list takes the list along
            *parents, key = parents
        place = _at(kept, parents)
        place.pop(key, None)
        if key in STAND_INS and not fault.unknown:
            place[key] = STAND_INS[key]
    return kept


def key_paths() -> list[str]:
    """Every key that a configuration can have, dotted; items of lists as ``0``."""
    return list(_paths(TrainingConfig, ""))


@functools.cache
def _validator() -> Any:
    try:
        from pydantic import TypeAdapter
    except ImportError as error:
        raise MissingDependencyError(
            "reading a training configuration needs pydantic\n  to do  pip install 'parrot_adapters[train]'"
        ) from error
    return TypeAdapter(TrainingConfig)


def _fault(found: Mapping[str, Any]) -> Fault:
    path = [str(part) for part in found["loc"] if part != "[key]"]
    key, kind = ".".join(path), found["type"]
    if kind == "missing":
        return Fault(key, "is missing")
    given = f"given {_shown(found['input'])}"
    if kind == "unexpected_keyword_argument":
        return Fault(key, f"there is no such key ({given}).{_nearest(path)}", unknown=True)
    if kind == "literal_error":
        expected = str(found["ctx"]["expected"])
        near = suggest(str(found["input"]), expected.replace(" or ", ", ").strip("'").split("', '"))
        return Fault(key, f"must be {expected}, {given}" + (f".{near}" if near else ""))
    expected = EXPECTED[kind].format(**found.get("ctx", {})) if kind in EXPECTED else found["msg"]
    return Fault(key, f"{expected}, {given}")


def _nearest(path: Sequence[str]) -> str:
    """The nearest key beside an unknown one, else anywhere."""
    place = [ITEM if part.isdigit() else part for part in path]
    parent = ".".join(place[:-1])
    known = key_paths()
    beside = [key.rpartition(".")[2] for key in known if key.rpartition(".")[0] == parent]
    elsewhere = [key for key in known if key.rpartition(".")[2] == place[-1]]
    if elsewhere:
        return f" Did you mean {elsewhere[0]!r}?"
    return suggest(path[-1], beside) or suggest(".".join(place), known) or f" Known here: {', '.join(beside)}."


def _paths(kind: type, prefix: str) -> Iterator[str]:
    hints = get_type_hints(kind)
    for field in fields(kind):
        key = f"{prefix}{field.name}"
        yield key
        hint = hints[field.name]
        if is_dataclass(hint):
            yield from _paths(hint, f"{key}.")  # type: ignore[arg-type]
        elif items := [argument for argument in get_args(hint) if is_dataclass(argument)]:
            yield from _paths(items[0], f"{key}.{ITEM}.")  # type: ignore[arg-type]


def _at(values: Any, path: Sequence[str]) -> Any:
    for part in path:
        if isinstance(values, list) and part.isdigit() and int(part) < len(values):
            values = values[int(part)]
        elif isinstance(values, dict):
            values = values.get(part)
        else:
            return None
    return values


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else f"{text[:57]}..."
