"""Epochs of sources that all know their length: any sample by number, an epoch drawn and shuffled as a whole."""

from __future__ import annotations

import warnings
from array import array
from collections import Counter
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from parrot_adapters.data.batch_order import BatchOrder, cut
from parrot_adapters.data.dialogue import Dialogue
from parrot_adapters.data.epoch_sampling import Cell, draw, quotas
from parrot_adapters.data.problems import BadSample
from parrot_adapters.data.samples import IndexedSamples
from parrot_adapters.data.settings import DataSettings
from parrot_adapters.errors import ConfigError, ParrotWarning, explain

__all__ = ["WholeEpochs"]


class WholeEpochs:
    """The epochs of a mixture whose samples are known by number. A batch lists numbers from 0 to ``total``.

    Args:
        sources: the good samples of each file.
        settings: of the mixture.
        seed: of order and sampling.

    Raises:
        ConfigError: weights and caps leave no sample.
    """

    def __init__(self, sources: Sequence[IndexedSamples], settings: DataSettings, *, seed: int) -> None:
        self.sources, self.settings, self.seed = sources, settings, seed
        self._starts = [0]
        for source in sources:
            self._starts.append(self._starts[-1] + len(source))
        self.total = self._starts[-1]
        self._members = self._cells()
        self._quotas = quotas(
            {cell: len(here) for cell, here in self._members.items()},
            [source.settings.weight for source in sources],
            caps=settings.caps,
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

    @property
    def measured(self) -> bool:
        """Whether every sample's number of tokens is known."""
        return self._lengths is not None

    def measure(self, length: Callable[[Dialogue], int], progress: Callable[[int, int], None] | None = None) -> None:
        """Learn every sample's number of tokens; a bad sample counts as nothing here."""
        lengths = array("q")
        for index in range(self.total):
            try:
                lengths.append(length(self[index]))
            except BadSample:
                lengths.append(0)
            if progress is not None and (index % 256 == 255 or index == self.total - 1):
                progress(index + 1, self.total)
        self._lengths = torch.tensor(lengths, dtype=torch.long)

    def batches(self, micro_batch: int, epoch: int, *, rank: int, world: int, skip: int) -> BatchOrder:
        """One process's micro-batches of an epoch; see :meth:`parrot_adapters.data.Mixture.batches`."""
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
        silent = [tag for tag in self.settings.caps if tag not in spoken]
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
