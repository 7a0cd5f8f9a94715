"""Sources that are read from beginning to end: position instead of index."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import torch

from parrot_adapters.data.dialogue import Dialogue
from parrot_adapters.data.epoch_sampling import generator
from parrot_adapters.data.format_choice import format_for, reads_streams, recognised
from parrot_adapters.data.hf_datasets import HubStream
from parrot_adapters.data.paths import data_files, is_pattern
from parrot_adapters.data.problems import BadSample
from parrot_adapters.data.records import RecordStream, parse_record
from parrot_adapters.data.source import OnBad, Reader, Source
from parrot_adapters.training.training_config import SourceSettings

__all__ = ["FileStream", "ShuffledFile", "Stream"]


class Stream(Protocol):
    """Dialogues in order, and a position that can be taken up again."""

    weight: float

    def __iter__(self) -> Iterator[Dialogue]: ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


class FileStream:
    """The good samples of a source that is streamed. Several files (shards) come in another order each epoch, unless a
    limit says which are the first.

    Args:
        settings: of the source.
        on_bad: told of each bad sample; the same sample may be told of in every epoch.
        number: of the source in the mixture.
        seed: of the mixture.
        epoch: from 0.

    Raises:
        DataError: a file is not there, or is not what its name says.
    """

    def __init__(
        self, settings: SourceSettings, on_bad: OnBad, *, number: int = 0, seed: int = 0, epoch: int = 0
    ) -> None:
        self.weight, self._settings, self._on_bad, self._taken = settings.weight, settings, on_bad, 0
        self._files = [_File(name, records, settings, on_bad) for name, records in _opened(settings)]
        self._order = list(range(len(self._files)))
        if settings.limit is None and len(self._files) > 1:
            drawn = torch.randperm(len(self._files), generator=generator(seed, epoch, "shards", number))
            self._order = drawn.tolist()
        self._at = 0

    def __iter__(self) -> Iterator[Dialogue]:
        while self._at < len(self._order):
            for dialogue in self._files[self._order[self._at]]:
                if self._settings.limit is not None and self._taken >= self._settings.limit:
                    return
                self._taken += 1
                yield dialogue
            self._at += 1

    def state_dict(self) -> dict[str, Any]:
        """Where it is."""
        records = self._files[self._order[self._at]].records.state_dict() if self._at < len(self._order) else {}
        return {"taken": self._taken, "file": self._at, "records": records}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self._taken, self._at = state["taken"], state.get("file", 0)
        if self._at < len(self._order):
            self._files[self._order[self._at]].records.load_state_dict(state["records"])


class _File:
    """The good samples of one file of a source."""

    def __init__(self, name: str, records: RecordStream, settings: SourceSettings, on_bad: OnBad) -> None:
        self._name, self.records, self._settings, self._on_bad = name, records, settings, on_bad
        self._folder = Path(settings.images) if settings.images else Path(name).parent
        self._reader: Reader | None = None
        if settings.format != "auto":  # else the first record says it
            self._reader = Reader(name, settings, format_for(name, settings.format), self._folder)

    def __iter__(self) -> Iterator[Dialogue]:
        for number, record in self.records:
            dialogue = self._dialogue(number, record)
            if dialogue is not None:
                yield dialogue

    def _dialogue(self, number: int, record: Any) -> Dialogue | None:
        parsed = None
        try:
            if isinstance(record, BadSample):
                raise record
            parsed = parse_record(record) if isinstance(record, bytes) else record
            if self._reader is None:
                _, form, _ = recognised(parsed, self._name)
                self._reader = Reader(self._name, self._settings, form, self._folder)
            return self._reader.dialogue(parsed, number)
        except BadSample as problem:
            own = None if self._reader is None else self._reader.identity(parsed, number)
            self._on_bad(problem, self._name, number, own or f"{Path(self._name).name}:{number}")
            return None


def _opened(settings: SourceSettings) -> Iterator[tuple[str, RecordStream]]:
    """Every file of a source with its records; what only ``datasets`` reads is one file to us."""
    path = Path(settings.path)
    if path.is_dir() or is_pattern(settings.path):
        files = list(data_files(path))
        if all(reads_streams(file) for file in files):
            for file in files:
                yield str(file), format_for(str(file), settings.format).stream(file)
            return
        if is_pattern(settings.path):
            for file in files:
                yield str(file), HubStream(str(file))
            return
    if path.is_file() and reads_streams(path):
        yield settings.path, format_for(settings.path, settings.format).stream(path)
    else:
        yield settings.path, HubStream(settings.path)


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
