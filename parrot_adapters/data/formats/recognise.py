"""Which format a record is in: asked for by name, or recognised by what the record looks like."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import NamedTuple

from parrot_adapters.data.formats.data_format import DataFormat
from parrot_adapters.errors import DataError, ParrotWarning, PluginError, explain, first_line
from parrot_adapters.plugins import Component, blaming, manager

__all__ = ["Chosen", "choose_format", "format_named", "known_formats", "looks_like", "recognised_by"]


class Chosen(NamedTuple):
    """A format, and how it was chosen.

    Attributes:
        name: as registered.
        format: what reads the records.
        because: how it was chosen, in words.
    """

    name: str
    format: DataFormat
    because: str


def choose_format(record: object, asked: str, place: object) -> Chosen:
    """The format of a source.

    Args:
        record: its first record that can be read; None where there is none.
        asked: name of a format, or ``"auto"`` for the first that recognises the record.
        place: the source, for messages.

    Raises:
        UnknownNameError: nobody registered the format.
        DataError: no format recognises the record; the message says what was seen.
    """
    if asked != "auto":
        return Chosen(asked, _reading(record, asked), "asked for")
    known = known_formats()
    found = recognised_by(record, known)
    if found is None:
        raise DataError(
            explain(
                "no data format recognises the records.",
                source=place,
                first_record=looks_like(record),
                known=", ".join(known),
                to_do="name their format (data.sources.format), or register one (hook register_data_formats)",
            )
        )
    return found


def recognised_by(record: object, known: Mapping[str, DataFormat]) -> Chosen | None:
    """The first of some formats that recognises a record; None where none does. One that fails is warned of."""
    if record is None:
        return None
    for name, candidate in known.items():
        try:
            why = candidate.recognise(record)
        except Exception as error:  # a plugin's code, whatever it raises
            _warn(f"the data format {name!r} is left out: it cannot look at a record ({first_line(error)})")
            continue
        if why:
            return Chosen(name, candidate, f"first record: {why}")
    return None


def format_named(name: str) -> DataFormat:
    """The format registered under a name.

    Raises:
        UnknownNameError: nobody registered it.
        PluginError: what was registered makes no format.
    """
    return _made(manager.find("data-format", name, asked_by="data.sources.format"))


def known_formats() -> dict[str, DataFormat]:
    """Every registered format by name, the library's own first, most particular first. Those that cannot be made are
    warned of and left out.
    """
    return {component.name: made for component, made in manager.usable("data-format", _made)}


def looks_like(record: object) -> str:
    """A record in a few words, for messages."""
    if isinstance(record, Mapping):
        return f"an object with {', '.join(map(repr, list(record)[:8])) or 'nothing in it'}"
    if isinstance(record, list):
        return f"a list of {len(record)}, the first {looks_like(record[0])}" if record else "an empty list"
    return "nothing that can be read" if record is None else f"{type(record).__name__} {str(record)[:40]!r}"


def _reading(record: object, asked: str) -> DataFormat:
    """The format asked for, inside the one that wraps the records, if one does."""
    chosen = format_named(asked)
    around = recognised_by(record, {name: f for name, f in known_formats().items() if f.holding(chosen) is not None})
    if around is None or around.name == asked:
        return chosen
    return around.format.holding(chosen) or chosen


def _made(component: Component) -> DataFormat:
    with blaming(f"the data format {component.name!r} of {component.plugin} cannot be made."):
        made = component.factory()  # for example of a subclass that lacks a method
    if not isinstance(made, DataFormat):
        raise PluginError(
            explain(
                f"what {component.plugin} registered as the data format {component.name!r} is none.",
                given=repr(made)[:80],
                to_do="register a subclass of parrot_adapters.data.DataFormat",
            )
        )
    return made


def _warn(text: str) -> None:
    warnings.warn(text, ParrotWarning, stacklevel=4)
