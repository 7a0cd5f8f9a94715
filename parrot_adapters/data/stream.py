"""Sources that are read from beginning to end: position instead of index."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import torch

from parrot_adapters.data.dialogue import Dialogue
from parrot_adapters.data.drawing import generator
from parrot_adapters.data.formats import format_named, recognised
from parrot_adapters.data.hub import HubStream
from parrot_adapters.data.problems import BadSample
from parrot_adapters.data.records import BOM, parse_record
from parrot_adapters.data.source import OnBad, Reader, Source
from parrot_adapters.errors import DataError, explain
from parrot_adapters.training.config import SourceSettings

__all__ = ["FileStream", "LineStream", "ShuffledFile", "Stream"]


class Stream(Protocol):
    """Dialogues in order, and a position that can be taken up again."""

    weight: float

    def __iter__(self) -> Iterator[Dialogue]: ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


class LineStream:
    """Records of a JSON-lines file of any size; the position is a byte.

    Args:
        path: UTF-8.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._done, self._at = path, 0, 0

    def __iter__(self) -> Iterator[tuple[int, Any]]:
        try:
            file = self._path.open("rb")
        except OSError as error:
            raise DataError(explain("the file cannot be read.", file=self._path, because=error.strerror)) from None
        with file:
            file.seek(self._at)
            for line in file:
                text = line.removeprefix(BOM) if self._at == 0 else line
                self._at += len(line)
                if text.strip():
                    self._done += 1
                    yield self._done - 1, text

    def state_dict(self) -> dict[str, Any]:
        """Where it is."""
        return {"done": self._done, "at": self._at}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self._done, self._at = state["done"], state["at"]


class FileStream:
    """The good samples of a source that is streamed.

    Args:
        settings: of the source.
        on_bad: told of each bad sample; the same sample may be told of in every epoch.
    """

    def __init__(self, settings: SourceSettings, on_bad: OnBad) -> None:
        self.weight, self._settings, self._on_bad, self._taken = settings.weight, settings, on_bad, 0
        path = Path(settings.path)
        lines = path.suffix.lower() == ".jsonl" and path.is_file()
        self._records: LineStream | HubStream = LineStream(path) if lines else HubStream(settings.path)
        folder = Path(settings.images) if settings.images else path.parent
        self._folder, self._reader = folder, self._named(folder)

    def __iter__(self) -> Iterator[Dialogue]:
        for number, record in self._records:
            if self._settings.limit is not None and self._taken >= self._settings.limit:
                return
            dialogue = self._dialogue(number, record)
            if dialogue is not None:
                self._taken += 1
                yield dialogue

    def state_dict(self) -> dict[str, Any]:
        """Where it is."""
        return {"taken": self._taken, "records": self._records.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self._taken = state["taken"]
        self._records.load_state_dict(state["records"])

    def _dialogue(self, number: int, record: Any) -> Dialogue | None:
        try:
            if isinstance(record, bytes):
                record = parse_record(record)
            if self._reader is None:
                _, form, _ = recognised(record, self._settings.path)
                self._reader = Reader(self._settings.path, self._settings, form, self._folder)
            return self._reader.dialogue(record, number)
        except BadSample as problem:
            known = self._reader is not None and not isinstance(record, bytes)
            name = Path(self._settings.path).name
            identity = self._reader.identity(record, number) if known and self._reader else f"{name}:{number}"
            self._on_bad(problem, self._settings.path, number, identity)
            return None

    def _named(self, folder: Path) -> Reader | None:
        """The reader of the format asked for; ``auto`` waits for the first record."""
        if self._settings.format == "auto":
            return None
        return Reader(self._settings.path, self._settings, format_named(self._settings.format), folder)


class ShuffledFile:
    """A file with an index, among streams: its samples in an order of their own.

    Args:
        source: the file.
        number: of the source in the mixture.
        seed: of the mixture.
        epoch: from 0.
    """

    def __init__(self, source: Source, *, number: int, seed: int, epoch: int) -> None:
        self.weight, self._source, self._at = source.settings.weight, source, 0
        self._order = torch.randperm(len(source), generator=generator(seed, epoch, "file", number)).tolist()

    def __iter__(self) -> Iterator[Dialogue]:
        while self._at < len(self._order):
            self._at += 1
            yield self._source[self._order[self._at - 1]]

    def state_dict(self) -> dict[str, Any]:
        """Where it is."""
        return {"at": self._at}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self._at = state["at"]
