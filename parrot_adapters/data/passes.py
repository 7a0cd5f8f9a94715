"""One epoch's way through a source: its good samples in order, and a position that can be taken up again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import torch

from parrot_adapters.atomic_files import as_path
from parrot_adapters.data.dialogue import Dialogue
from parrot_adapters.data.epoch_sampling import generator
from parrot_adapters.data.samples import IndexedSamples, OnBad, SampleReader
from parrot_adapters.data.settings import SourceSettings
from parrot_adapters.data.sources.data_files import data_files, is_pattern
from parrot_adapters.data.sources.open_source import open_source

__all__ = ["Pass", "ShuffledPass", "StreamedPass"]


class Pass(Protocol):
    """Dialogues in order, and a position.

    Attributes:
        weight: how often it is drawn from, relative to others.
    """

    weight: float

    def __iter__(self) -> Iterator[Dialogue]: ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


class StreamedPass:
    """Through a source that is streamed. Several files (shards) come in another order each epoch, unless a limit says
    which are the first.

    Args:
        settings: of the source.
        on_bad: told of each bad sample; the same sample may be told of in every epoch.
        number: of the source in the mixture.
        seed: of the mixture.
        epoch: from 0.
        strict: a field that the format does not read makes a bad sample; else it is warned of when it is first seen.

    Raises:
        DataError: a file is not there, or is not what its name says.
    """

    def __init__(
        self,
        settings: SourceSettings,
        on_bad: OnBad,
        *,
        number: int = 0,
        seed: int = 0,
        epoch: int = 0,
        strict: bool = False,
    ) -> None:
        self.weight, self._limit, self._taken, self._on_bad = settings.weight, settings.limit, 0, on_bad
        names = list(_names(settings.path))
        self._sources = [open_source(name, streaming=True) for name in names]
        self._readers = [SampleReader(name, settings, strict=strict) for name in names]
        self._order = list(range(len(names)))
        if settings.limit is None and len(names) > 1:
            drawn = torch.randperm(len(names), generator=generator(seed, epoch, "shards", number))
            self._order = drawn.tolist()
        self._at = 0

    def __iter__(self) -> Iterator[Dialogue]:
        while self._at < len(self._order):
            reader = self._readers[self._order[self._at]]
            for number, record in self._sources[self._order[self._at]]:
                seen = len(reader.unread)
                dialogue = reader.read(number, record, self._on_bad)
                if len(reader.unread) > seen:
                    reader.warn_of_unread()
                if dialogue is None:
                    continue
                if self._limit is not None and self._taken >= self._limit:
                    return
                self._taken += 1
                yield dialogue
            self._at += 1

    def state_dict(self) -> dict[str, Any]:
        """Where it is."""
        records = self._sources[self._order[self._at]].state_dict() if self._at < len(self._order) else {}
        return {"taken": self._taken, "file": self._at, "records": records}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self._taken, self._at = state["taken"], state.get("file", 0)
        if self._at < len(self._order):
            self._sources[self._order[self._at]].load_state_dict(state["records"])


class ShuffledPass:
    """Through samples that have an index, in an order of their own.

    Args:
        samples: of one file.
        number: of the source in the mixture.
        seed: of the mixture.
        epoch: from 0.
    """

    def __init__(self, samples: IndexedSamples, *, number: int, seed: int, epoch: int) -> None:
        self.weight, self._samples, self._at = samples.settings.weight, samples, 0
        self._order = torch.randperm(len(samples), generator=generator(seed, epoch, "file", number)).tolist()

    def __iter__(self) -> Iterator[Dialogue]:
        while self._at < len(self._order):
            self._at += 1
            yield self._samples[self._order[self._at - 1]]

    def state_dict(self) -> dict[str, Any]:
        """Where it is."""
        return {"at": self._at}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self._at = state["at"]


def _names(path: str) -> Iterator[str]:
    """Of every file of a source; a file or a data set of the Hub is called what the settings call it."""
    if as_path(path, "the path of training data").is_dir() or is_pattern(path):
        yield from map(str, data_files(Path(path)))
    else:
        yield path
