"""Several sources as one data set, deterministic by (seed, epoch)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.utils.data import Dataset

from parrot_adapters.data.batch_order import BatchOrder
from parrot_adapters.data.dialogue import Dialogue
from parrot_adapters.data.epochs_in_blocks import BlockOrder, EpochsInBlocks, OpenPasses
from parrot_adapters.data.passes import Pass, ShuffledPass, StreamedPass
from parrot_adapters.data.problems import BadSample
from parrot_adapters.data.rejects import Rejects
from parrot_adapters.data.samples import IndexedSamples, OnBad
from parrot_adapters.data.settings import DataSettings, SourceSettings
from parrot_adapters.data.sources.data_files import data_files
from parrot_adapters.data.whole_epochs import WholeEpochs
from parrot_adapters.errors import ConfigError, DataError, explain

__all__ = ["Mixture", "open_data"]

Progress = Callable[[int, int], None]


def open_data(
    settings: DataSettings,
    *,
    seed: int,
    rejects: Rejects | str | Path | None = None,
    progress: Progress | None = None,
) -> Mixture:
    """Open every source and check every sample's structure; pictures are read later, when they are needed.

    Args:
        settings: Settings of the data.
        seed: Seed of order and sampling.
        rejects: File that skipped samples are written to (``bad_samples: skip``).
        progress: Function that is called with (done, total) records of a file now and then.

    Returns:
        the mixture; :attr:`Mixture.seekable` says whether all sources know their length.

    Raises:
        DataError: A source cannot be read, or a sample is bad and none may be skipped.
        UnknownNameError: A format is not registered.
    """
    kept = rejects if isinstance(rejects, Rejects) else Rejects(rejects)

    def on_bad(problem: BadSample, source: str, number: int, identity: str) -> None:
        if settings.bad_samples == "error":
            raise problem.as_error(source=source, identity=identity)
        kept.add(problem, source=source, number=number, identity=identity)

    opened = {
        asked: _indexed(asked, on_bad, progress, settings.strict) for asked in settings.sources if not asked.streaming
    }
    sources = [samples for asked in settings.sources for samples in opened.get(asked, ())]
    if not any(asked.streaming for asked in settings.sources):
        return Mixture(sources, settings, seed=seed, rejects=kept)

    def passes(epoch: int) -> list[Pass]:
        found: list[Pass] = []
        for asked in settings.sources:
            if asked.streaming:
                found.append(
                    StreamedPass(asked, on_bad, number=len(found), seed=seed, epoch=epoch, strict=settings.strict)
                )
            for samples in opened.get(asked, ()):
                found.append(ShuffledPass(samples, number=len(found), seed=seed, epoch=epoch))
        return found

    passes(0)  # what cannot be opened is said now
    return Mixture(sources, settings, seed=seed, rejects=kept, passes=passes)


class Mixture(Dataset[Dialogue]):
    """The samples of several sources, and the order in which epochs go through them. A torch data loader takes it::

        DataLoader(mixture, batch_sampler=mixture.batches(8, epoch=0), collate_fn=collator)

    Where every source knows its length, the mixture is *seekable*: a batch lists numbers of samples, an epoch is
    shuffled as a whole, and ``len`` is the number of its samples, in which one may come several times or not at all.
    Otherwise a batch lists the samples themselves, shuffled in blocks, and only what has been read is known.

    Args:
        sources: Good samples of each file that knows its length, in order.
        settings: Settings of the data.
        seed: Seed of order and sampling.
        rejects: Samples that were skipped.
        passes: Function that opens all sources for an epoch, where some are streamed; None where none is.

    Raises:
        DataError: There is no usable sample.
        ConfigError: Weights and caps leave none, or a setting needs to know the whole of what is streamed.
    """

    def __init__(
        self,
        sources: Sequence[IndexedSamples],
        settings: DataSettings,
        *,
        seed: int,
        rejects: Rejects,
        passes: OpenPasses | None = None,
    ) -> None:
        self.sources, self.settings, self.seed, self.rejects = sources, settings, seed, rejects
        if passes is None and not sum(map(len, sources)):
            raise DataError(
                explain(
                    "there is no usable sample.",
                    files=", ".join(str(source.path) for source in sources),
                    skipped=", ".join(f"{n} {kind}" for kind, n in rejects.counts().items()) or None,
                )
            )
        self._epochs: WholeEpochs | EpochsInBlocks
        if passes is None:
            self._epochs = WholeEpochs(sources, settings, seed=seed)
        else:
            self._epochs = EpochsInBlocks(passes, settings, seed=seed)

    def __getstate__(self) -> dict[str, Any]:  # worker processes that are handed dialogues open nothing
        return self.__dict__ if self.seekable else self.__dict__ | {"sources": []}

    @property
    def seekable(self) -> bool:
        """Whether all sources know their length, so that any sample can be read by its number."""
        return isinstance(self._epochs, WholeEpochs)

    @property
    def total(self) -> int:
        """The number of different samples, of a seekable mixture."""
        return self._whole("total").total

    def __len__(self) -> int:
        return len(self._whole("len"))

    def __getitem__(self, sample: Any) -> Dialogue:
        """A sample, as batches list it: by its number; of a mixture with streams, the sample itself."""
        return self._epochs[sample]

    def languages(self) -> dict[str | None, int]:
        """Samples of each language in an epoch of a seekable mixture; None for those nobody named."""
        return self._whole("languages").languages()

    def epoch(self, epoch: int) -> Tensor:
        """(N,) int64: the samples of an epoch of a seekable mixture, in their order."""
        return self._whole("epoch").epoch(epoch)

    def measure(self, length: Callable[[Dialogue], int], progress: Progress | None = None) -> None:
        """Learn every sample's number of tokens, for grouping by length, packing and token budgets. What is streamed is
        measured as it is read.

        Args:
            length: :meth:`parrot_adapters.data.Collator.length`. A bad sample counts as nothing here; it is dealt with
                when its batch is made.
            progress: called with (done, total).
        """
        self._epochs.measure(length, progress)

    def batches(
        self, micro_batch: int, epoch: int, *, rank: int = 0, world: int = 1, skip: int = 0
    ) -> BatchOrder | BlockOrder:
        """One process's micro-batches of an epoch.

        Args:
            micro_batch: most samples of one.
            epoch: from 0.
            rank: this process.
            world: number of processes.
            skip: micro-batches of this process that a run now resumed has done. What is streamed is read up to there,
                which :meth:`BlockOrder.load_state_dict` spares.

        Raises:
            ConfigError: grouping, packing or a token budget was asked for, and :meth:`measure` was not called.
        """
        settings = self.settings
        asked = settings.group_by_length or settings.packing or settings.token_budget is not None
        if asked and not self._epochs.measured:
            raise ConfigError(
                explain(
                    "samples can only be grouped by length, packed, or counted in tokens, once they were measured.",
                    to_do="mixture.measure(collator.length)",
                )
            )
        return self._epochs.batches(micro_batch, epoch, rank=rank, world=world, skip=skip)

    def _whole(self, asked: str) -> WholeEpochs:
        if not isinstance(self._epochs, WholeEpochs):  # TypeError is what torch and transformers expect of len
            raise TypeError(f"{asked}: a mixture with streams is not known before it is read (Mixture.seekable)")
        return self._epochs


def _indexed(asked: SourceSettings, on_bad: OnBad, progress: Progress | None, strict: bool) -> list[IndexedSamples]:
    """Every file of a source that is not streamed."""
    opened: list[IndexedSamples] = []
    left = asked.limit
    for path in data_files(asked.path):
        source = IndexedSamples(path, asked, on_bad, limit=left, progress=progress, strict=strict)
        source.warn_of_unread()
        left = None if left is None else left - len(source)
        opened.append(source)
    return opened
