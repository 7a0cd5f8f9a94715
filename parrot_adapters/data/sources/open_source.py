"""Opening whatever holds records: the kinds of file that are registered, and what ``datasets`` reads."""

from __future__ import annotations

from pathlib import Path

from parrot_adapters.data.sources.hub_datasets import open_by_datasets, read_by_datasets
from parrot_adapters.data.sources.json_files import open_json
from parrot_adapters.data.sources.source import OpenSource, Source
from parrot_adapters.errors import DataError, PluginError, explain
from parrot_adapters.plugins import manager

__all__ = ["known_suffixes", "open_source", "refuse_devices"]


def open_source(path: str, *, streaming: bool) -> Source:
    """The records of one file or data set.

    Args:
        path: of a file, or a name of the Hub. A file whose suffix nobody registered is read as JSON.
        streaming: spare an index, where the kind of file can do without.

    Raises:
        DataError: it cannot be read at all.
        MissingDependencyError: the package that reads it is not installed.
        PluginError: what a plugin registered for this kind of file makes no source, or two plugins claim it.
    """
    refuse_devices(path)
    suffix = Path(path).suffix.lower()
    if suffix in known_suffixes() and Path(path).is_file():
        return _opened(path, suffix, streaming)
    if read_by_datasets(path):
        return open_by_datasets(path, streaming=streaming)
    return open_json(path, streaming=streaming)


def refuse_devices(path: str) -> None:
    """Refuse what is neither a file nor a directory: whoever opens a pipe may wait for ever.

    Raises:
        DataError: so it is.
    """
    there = Path(path)
    if there.exists() and not there.is_file() and not there.is_dir():
        raise DataError(
            explain(
                "training data must be a file: it is read more than once, and from the middle.",
                given=path,
                what_it_is="a pipe or a device",
                to_do="write it to a file first",
            )
        )


def known_suffixes() -> tuple[str, ...]:
    """Suffixes of the files that are looked for in a directory, lower case, with their dots."""
    return tuple(dict.fromkeys(component.name for component in manager.components("data-source")))


def _opened(path: str, suffix: str, streaming: bool) -> Source:
    component = manager.find("data-source", suffix)
    opener: OpenSource = component.factory
    made = opener(path, streaming=streaming)
    lacking = [name for name in ("length", "__iter__", "state_dict", "load_state_dict") if not hasattr(made, name)]
    if lacking:
        raise PluginError(
            explain(
                f"what {component.plugin} opens {suffix} files with makes no source.",
                given=repr(made)[:80],
                lacks=", ".join(lacking),
                to_do="return a parrot_adapters.data.Source, for example parrot_adapters.data.ListedRecords(records)",
            )
        )
    return made
