"""Which format a source is in: asked for by name, or recognised by what its records look like."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from parrot_adapters.data.format_base import DataFormat
from parrot_adapters.data.problems import BadSample
from parrot_adapters.data.records import Records
from parrot_adapters.errors import DataError, PluginError, explain
from parrot_adapters.plugins import Component, blaming, manager

__all__ = [
    "choose_format",
    "format_for",
    "format_named",
    "known_formats",
    "reading_suffixes",
    "reads_streams",
]

JSON_FILES = (".json", ".jsonl")
DATASETS_FILES = (".parquet",)  # of those that ``datasets`` reads, what is looked for in a directory
LOOKED_AT = 20  # records, for one that can be read


def format_named(name: str) -> DataFormat:
    """The format registered under a name.

    Raises:
        UnknownNameError: nobody registered it.
        PluginError: what was registered makes no format.
    """
    found = manager.find("data-format", name, asked_by="data.sources.format")
    return _made(found)


def known_formats() -> dict[str, DataFormat]:
    """Every registered format by name; the library's own first, most particular first. Faulty ones are left out."""
    return {component.name: made for component, made in manager.usable("data-format", _made)}


def format_for(path: str, name: str) -> DataFormat:
    """What reads a file in the format asked for: that format, or the one of this kind of file that holds its records.

    Args:
        path: of the file.
        name: of a format; ``"auto"`` for the one that reads this kind of file, or any that reads JSON.

    Raises:
        UnknownNameError: nobody registered it.
    """
    kinds = _of_this_kind(Path(path))
    if name == "auto":
        return next(iter(kinds.values()), None) or next(f for f in known_formats().values() if not f.suffixes)
    chosen = format_named(name)
    if not kinds or name in kinds:
        return chosen
    return next(iter(kinds.values())).holding(chosen)


def reading_suffixes() -> tuple[str, ...]:
    """Suffixes of the files that are looked for in a directory."""
    own = (suffix for known in known_formats().values() for suffix in known.suffixes)
    return tuple(dict.fromkeys((*JSON_FILES, *own, *DATASETS_FILES)))


def reads_streams(path: Path) -> bool:
    """Whether a file's own format keeps a position in it; else ``datasets`` does."""
    kinds = _of_this_kind(path).values()
    return path.suffix.lower() == ".jsonl" or any(type(kind).stream is not DataFormat.stream for kind in kinds)


def choose_format(path: Path, name: str) -> tuple[str, DataFormat, Records, str]:
    """Open a file in the format asked for, or in the one that its content shows.

    Args:
        path: the file.
        name: of a format, or ``"auto"``.

    Returns:
        its name, the format, the records, and how it was chosen, in words.

    Raises:
        DataError: the file cannot be read, or no format recognises it; the message says what was seen.
    """
    if name != "auto":
        chosen = format_for(str(path), name)
        return name, chosen, chosen.records(path), "asked for"
    seen: list[str] = []
    first: DataError | None = None
    readers: dict[Any, Records | DataError] = {}  # formats that share a reader share what it read
    for known, candidate in _plausible(path).items():
        reader = type(candidate).records
        if reader not in readers:
            try:
                readers[reader] = candidate.records(path)
            except DataError as error:
                readers[reader] = error
        records = readers[reader]
        if isinstance(records, DataError):
            first = first or records
            continue
        if not len(records):
            raise DataError(explain("the file holds no records.", file=path))
        record = first_record(records)
        why = None if record is None else candidate.recognise(record)
        if why:
            return known, candidate, records, f"first record: {why}"
        seen.append(looks_like(record))
    if not seen and first is not None:
        raise first
    raise DataError(
        explain(
            "no data format recognises the file.",
            file=path,
            first_record="; ".join(dict.fromkeys(seen)),
            known=", ".join(known_formats()),
            to_do="name its format (data.sources.format), or register one (hook register_data_formats)",
        )
    )


def choose_among(records: Records, place: object, name: str) -> tuple[str, DataFormat, Records, str]:
    """As :func:`choose_format`, for records that were opened already."""
    if name != "auto":
        return name, format_named(name), records, "asked for"
    chosen, form, why = recognised(first_record(records), place)
    return chosen, form, records, why


def recognised(record: object, place: object) -> tuple[str, DataFormat, str]:
    """The format of one record: its name, the format, and why.

    Raises:
        DataError: none knows it.
    """
    for name, candidate in known_formats().items():
        why = candidate.recognise(record)
        if why:
            return name, candidate, f"first record: {why}"
    raise DataError(
        explain(
            "no data format recognises the records.",
            source=place,
            first_record=looks_like(record),
            known=", ".join(known_formats()),
        )
    )


def first_record(records: Records) -> Any:
    """The first record that can be read, or None."""
    for number in range(min(len(records), LOOKED_AT)):
        try:
            return records[number]
        except BadSample:
            continue
    return None


def looks_like(record: object) -> str:
    """A record in a few words, for messages."""
    if isinstance(record, Mapping):
        return f"an object with {', '.join(map(repr, list(record)[:8])) or 'nothing in it'}"
    if isinstance(record, list):
        return f"a list of {len(record)}, the first {looks_like(record[0])}" if record else "an empty list"
    return "nothing that can be read" if record is None else f"{type(record).__name__} {str(record)[:40]!r}"


def _plausible(path: Path) -> dict[str, DataFormat]:
    """The formats of this kind of file, and those that read some kind without saying which; else all that read JSON."""
    own = {
        name: known
        for name, known in known_formats().items()
        if not known.suffixes and type(known).records is not DataFormat.records
    }
    if kinds := _of_this_kind(path):
        return kinds | own
    return {name: known for name, known in known_formats().items() if not known.suffixes}


def _of_this_kind(path: Path) -> dict[str, DataFormat]:
    """Formats that read files with this suffix."""
    return {name: known for name, known in known_formats().items() if path.suffix.lower() in known.suffixes}


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
