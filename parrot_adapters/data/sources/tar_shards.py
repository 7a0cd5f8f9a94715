"""Tar shards: each sample a record, by number or one after the other. What a sample is: :mod:`.tar_members`.

A record is the mapping that WebDataset's own tools make: ``__key__``, and the sample's files by what follows the key in
their names. JSON and captions are parsed; pictures and videos stay where they are. So the samples of a Hub data set,
which ``datasets`` reads, mean the same.

The shards are read by the standard library's ``tarfile``: a position is a byte, one bad sample costs one sample, and
pictures are read where they are decoded. ``datasets`` reads local shards too, but asks the first five samples for the
same files, drops a file that only later samples have, and ends at the first broken JSON; package ``webdataset`` keeps
no position (its issues 177 and 271).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from parrot_adapters.data.byte_ranges import Stored, stored_bytes
from parrot_adapters.data.problems import BadSample
from parrot_adapters.data.sources.json_files import BOM, parse_record
from parrot_adapters.data.sources.source import IndexedSource, Source
from parrot_adapters.data.sources.tar_members import TarSample, check_shard, samples
from parrot_adapters.errors import DataError, explain

__all__ = ["TarRecords", "TarStream", "open_shard"]

TEXTS = ("txt", "text", "caption")
TEXT_LIMIT = 1 << 26  # bytes of a record; more is no record


def open_shard(path: str, *, streaming: bool) -> Source:
    """The samples of a shard.

    Args:
        path: of the shard.
        streaming: spare the index.

    Raises:
        DataError: the file is missing, empty, compressed or no tar file.
    """
    return TarStream(Path(path)) if streaming else TarRecords(Path(path))


class TarRecords(IndexedSource):
    """The samples of a shard by number. Headers are read once, to find where samples begin: 8 bytes a sample.

    Args:
        path: of the shard.

    Raises:
        DataError: the file is missing, empty, compressed or no tar file.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        check_shard(path)
        self.path = path
        self._begins = [sample.begin for sample in samples(path)]

    def __len__(self) -> int:
        return len(self._begins)

    def __getitem__(self, number: int) -> Any:
        found = next(samples(self.path, self._begins[number]), None)
        if found is None:
            raise DataError(explain("a file changed while it was read.", file=self.path, sample=f"number {number}"))
        return _record(found, self.path)


class TarStream:
    """The samples of a shard one after the other; the position is a byte.

    Args:
        path: of the shard.

    Raises:
        DataError: as :class:`TarRecords`.
    """

    length = None

    def __init__(self, path: Path) -> None:
        check_shard(path)
        self._path, self._done, self._at = path, 0, 0

    def __iter__(self) -> Iterator[tuple[int, Any]]:
        for sample in samples(self._path, self._at):
            self._done, self._at = self._done + 1, sample.end
            yield self._done - 1, sample.problem if not sample.key else _record(sample, self._path)

    def state_dict(self) -> dict[str, Any]:
        """Where it is."""
        return {"done": self._done, "at": self._at}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self._done, self._at = state["done"], state["at"]


def _record(sample: TarSample, path: Path) -> dict[str, Any]:
    """The sample as a mapping; its record is parsed, pictures stay where they are."""
    if not sample.key:
        raise sample.problem or BadSample("bad-record", "")
    made: dict[str, Any] = {"__key__": sample.key, "__url__": str(path)}
    if sample.problem is not None:
        made["__problem__"] = sample.problem
    for name, stored in sample.files.items():
        made[name] = _text(stored) if _suffix(name) in ("json", *TEXTS) else stored
    return made


def _text(stored: Stored) -> Any:
    """A record or a caption, or the :class:`BadSample` that it is."""
    if stored.size > TEXT_LIMIT:
        return BadSample("bad-record", f"{stored.name} has {stored.size:,} bytes; {TEXT_LIMIT:,} are allowed")
    try:
        text = stored_bytes(stored, kind="bad-record").removeprefix(BOM)
        return parse_record(text) if _suffix(stored.name) == "json" else text.decode("utf-8")
    except UnicodeDecodeError as error:
        return BadSample("not-utf8", f"{stored.name}, byte {error.start}: {error.reason}")
    except BadSample as problem:
        return BadSample(problem.kind, f"{stored.name}: {problem.reason}")


def _suffix(name: str) -> str:
    return name.rpartition(".")[2].lower()
