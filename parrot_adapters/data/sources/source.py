"""What training data is read from: records in order, and a position that can be taken up again.

A file, a tar shard, a data set of the Hub and a stream without an end are all a :class:`Source`. Whether it knows its
length decides how it can be mixed: one that does is read by number, so that an epoch is shuffled as a whole; one that
does not is read from beginning to end. What a record means is not its business but a data format's.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from parrot_adapters.data.problems import BadSample

__all__ = ["IndexedSource", "ListedRecords", "OpenSource", "Source"]


class Source(Protocol):
    """Records one after the other with their numbers, and a position.

    A record that cannot be read comes as the :class:`BadSample` that says why, so that the next one can be read.
    """

    @property
    def length(self) -> int | None:
        """How many records there are; None where nobody knows before the end. Then there is no access by number."""

    def __iter__(self) -> Iterator[tuple[int, Any]]:
        """(number, record) from the position on; the position moves along."""

    def state_dict(self) -> dict[str, Any]:
        """The position, as plain data: where the record after the last one begins."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a position."""


class OpenSource(Protocol):
    """Opens one kind of file; registered for a suffix through the hook ``register_data_sources``."""

    def __call__(self, path: str, *, streaming: bool) -> Source:
        """A file's records.

        Args:
            path: of the file.
            streaming: whether an index of the whole file is to be spared. A source that has one anyway may ignore it.

        Raises:
            DataError: the file cannot be read at all.
        """


class IndexedSource(ABC):
    """A :class:`Source` whose records are known by number. Subclasses say how many there are and read one."""

    def __init__(self) -> None:
        self._done = 0

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def __getitem__(self, number: int) -> Any:
        """One record.

        Raises:
            BadSample: it cannot be read.
        """

    @property
    def length(self) -> int | None:
        """How many records there are."""
        return len(self)

    def __iter__(self) -> Iterator[tuple[int, Any]]:
        while self._done < len(self):
            number = self._done
            self._done += 1
            try:
                record = self[number]
            except BadSample as problem:
                record = problem
            yield number, record

    def state_dict(self) -> dict[str, Any]:
        """Where it is."""
        return {"done": self._done}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self._done = state["done"]


class ListedRecords(IndexedSource):
    """Records that are in memory, or whatever gives them by number.

    Args:
        records: Sequence of records; getting one may raise :class:`BadSample`.
    """

    def __init__(self, records: Sequence[Any]) -> None:
        super().__init__()
        self._records = records

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, number: int) -> Any:
        return self._records[number]
