"""Several sources as one data set, deterministic by (seed, epoch)."""

from __future__ import annotations

import warnings
from array import array
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import Dataset

from parrot_adapters.data.batch_order import BatchOrder, cut
from parrot_adapters.data.dialogue import Dialogue
from parrot_adapters.data.epoch_sampling import Cell, draw, quotas
from parrot_adapters.data.paths import data_files
from parrot_adapters.data.problems import BadSample
from parrot_adapters.data.rejects import Rejects
from parrot_adapters.data.source import OnBad, Source
from parrot_adapters.data.stream import FileStream, ShuffledFile, Stream
from parrot_adapters.data.streaming import StreamingMixture
from parrot_adapters.errors import ConfigError, DataError, ParrotWarning, explain
from parrot_adapters.training.training_config import DataSettings, SourceSettings

__all__ = ["Mixture", "open_data"]

Progress = Callable[[int, int], None]


def open_data(
    settings: DataSettings,
    *,
    seed: int,
    rejects: Rejects | str | Path | None = None,
    progress: Progress | None = None,
) -> Mixture | StreamingMixture:
    """Open every source and check every sample's structure; pictures are read later, when they are needed.

    Args:
        settings: what to learn from.
        seed: of order and sampling.
        rejects: where skipped samples are written (``bad_samples: skip``).
        progress: called with (done, total) records of a file now and then.

    Returns:
        a :class:`Mixture`, or a :class:`StreamingMixture` if a source streams; both are used alike.

    Raises:
        DataError: a source cannot be read, or a sample is bad and none may be skipped.
        UnknownNameError: a format is not registered.
    """
    kept = rejects if isinstance(rejects, Rejects) else Rejects(rejects)

    def on_bad(problem: BadSample, source: str, number: int, identity: str) -> None:
        if settings.bad_samples == "error":
            raise problem.as_error(source=source, identity=identity)
        kept.add(problem, source=source, number=number, identity=identity)

    whole = [asked for asked in settings.sources if not asked.streaming]
    opened = {asked: _opened(asked, on_bad, progress) for asked in whole}
    if len(whole) == len(settings.sources):
        return Mixture([s for asked in whole for s in opened[asked]], settings, seed=seed, rejects=kept)

    def streams(epoch: int) -> list[Stream]:
        found: list[Stream] = []
        for asked in settings.sources:
            if asked.streaming:
                found.append(FileStream(asked, on_bad, number=len(found), seed=seed, epoch=epoch))
            for source in opened.get(asked, ()):
                found.append(ShuffledFile(source, number=len(found), seed=seed, epoch=epoch))
        return found

    streams(0)  # what cannot be opened is said now
    return StreamingMixture(streams, settings, seed=seed, rejects=kept)


class Mixture(Dataset[Dialogue]):
    """Samples by index, and the order in which epochs go through them.

    ``len`` is the number of samples of an epoch, in which a sample may come several times or not at all; indices go
    from 0 to ``total``. A torch data loader takes it as it is::

        DataLoader(mixture, batch_sampler=mixture.batches(8, epoch=0), collate_fn=collator)

    Attributes:
        sources: the opened files, in order.
        settings: what was asked for.
        seed: of order and sampling.
        rejects: samples that were skipped when the files were opened.
        total: number of different samples.

    Raises:
        DataError: there is no usable sample.
        ConfigError: weights and caps leave none.
    """

    def __init__(self, sources: list[Source], settings: DataSettings, *, seed: int, rejects: Rejects) -> None:
        self.sources, self.settings, self.seed, self.rejects = sources, settings, seed, rejects
        self._starts = [0]
        for source in sources:
            self._starts.append(self._starts[-1] + len(source))
        self.total = self._starts[-1]
        if not self.total:
            raise DataError(
                explain(
                    "there is no usable sample.",
                    files=", ".join(str(source.path) for source in sources),
                    skipped=", ".join(f"{n} {kind}" for kind, n in rejects.counts().items()) or None,
                )
            )
        self._members = self._cells()
        self._quotas = quotas(
            {cell: len(here) for cell, here in self._members.items()},
            [source.settings.weight for source in sources],
            caps=settings.language_caps,
            temperature=settings.language_temperature,
        )
        self._lengths: Tensor | None = None
        self._look_over()

    def __len__(self) -> int:
        return sum(self._quotas.values())

    def __getitem__(self, index: int) -> Dialogue:
        if not 0 <= index < self.total:
            raise IndexError(f"there are {self.total} samples; given {index}")
        number = next(n for n, start in enumerate(self._starts[1:]) if index < start)
        return self.sources[number][index - self._starts[number]]

    def languages(self) -> dict[str | None, int]:
        """Samples of each language in an epoch; None for those nobody named."""
        counts: Counter[str | None] = Counter()
        for (_, language), count in self._quotas.items():
            counts[language] += count
        return dict(counts)

    def epoch(self, epoch: int) -> Tensor:
        """(N,) int64: the samples of an epoch in their order."""
        return draw(self._members, self._quotas, seed=self.seed, epoch=epoch)

    def measure(self, length: Callable[[Dialogue], int], progress: Progress | None = None) -> None:
        """Learn every sample's number of tokens, for grouping by length, packing and token budgets.

        Args:
            length: :meth:`parrot_adapters.data.Collator.length`. A bad sample counts as nothing here; it is dealt with
                when its batch is made.
            progress: called with (done, total).
        """
        lengths = array("q")
        for index in range(self.total):
            try:
                lengths.append(length(self[index]))
            except BadSample:
                lengths.append(0)
            if progress is not None and (index % 256 == 255 or index == self.total - 1):
                progress(index + 1, self.total)
        self._lengths = torch.tensor(lengths, dtype=torch.long)

    def batches(self, micro_batch: int, epoch: int, *, rank: int = 0, world: int = 1, skip: int = 0) -> BatchOrder:
        """One process's micro-batches of an epoch.

        Args:
            micro_batch: most samples of one.
            epoch: from 0.
            rank: this process.
            world: number of processes.
            skip: micro-batches of this process that a run now resumed has done.

        Raises:
            ConfigError: grouping, packing or a token budget was asked for, and :meth:`measure` was not called.
        """
        settings = self.settings
        asked = settings.group_by_length or settings.packing or settings.token_budget is not None
        if asked and self._lengths is None:
            raise ConfigError(
                explain(
                    "samples can only be grouped by length, packed, or counted in tokens, once they were measured.",
                    to_do="mixture.measure(collator.length)",
                )
            )
        everything = cut(
            self.epoch(epoch),
            micro_batch,
            lengths=self._lengths,
            group=self.settings.group_by_length,
            budget=self.settings.token_budget,
            row=self.settings.max_length if self.settings.packing else None,
            seed=self.seed,
            epoch=epoch,
        )
        return BatchOrder(everything, rank=rank, world=world, skip=skip)

    def _look_over(self) -> None:
        """Say what cannot have been meant."""
        spoken = {language for _, language in self._members}
        silent = [tag for tag in self.settings.language_caps if tag not in spoken]
        if silent:
            known = ", ".join(sorted(str(tag or "(unknown)") for tag in spoken))
            text = f"data.language_caps: no sample is in {', '.join(silent)}; languages of the data: {known}"
            warnings.warn(text, ParrotWarning, stacklevel=3)
        if not len(self):
            raise ConfigError(
                explain(
                    "an epoch would hold no sample.",
                    samples=self.total,
                    weights=", ".join(f"{source.settings.weight:g}" for source in self.sources),
                    caps=dict(self.settings.language_caps) or None,
                )
            )

    def _cells(self) -> dict[Cell, Tensor]:
        found: dict[Cell, array[int]] = {}
        for number, source in enumerate(self.sources):
            for position, language in enumerate(source.languages):
                found.setdefault((number, language), array("q")).append(self._starts[number] + position)
        return {cell: torch.tensor(here, dtype=torch.long) for cell, here in found.items()}


def _opened(asked: SourceSettings, on_bad: OnBad, progress: Progress | None) -> list[Source]:
    """Every file of a source that is not streamed."""
    opened: list[Source] = []
    left = asked.limit
    for path in data_files(Path(asked.path)):
        source = Source(path, asked, on_bad, limit=left, progress=progress)
        left = None if left is None else left - len(source)
        opened.append(source)
    return opened
