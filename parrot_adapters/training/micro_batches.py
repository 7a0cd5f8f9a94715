"""The micro-batches of a whole run in one row, and where in it a run stands."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, Protocol

__all__ = ["MicroBatches", "TrainingData", "epoch_length"]


class TrainingData(Protocol):
    """What is trained on: samples, and the micro-batches of each epoch.

    A micro-batch lists what ``__getitem__`` takes: numbers, or for streams the samples themselves. An order of batches
    may know its length, and may have ``state_dict(done)`` and ``load_state_dict`` to go on without reading all before.
    """

    def __getitem__(self, index: Any, /) -> Any: ...

    def batches(self, micro_batch: int, epoch: int) -> Iterable[Sequence[Any]]:
        """Decided by the data's seed and the epoch alone."""
        ...


def epoch_length(data: TrainingData, micro_batch: int) -> int | None:
    """Micro-batches of the first epoch; None for a stream."""
    order: Any = data.batches(micro_batch, 0)
    return len(order) if hasattr(order, "__len__") else None


class MicroBatches:
    """A batch sampler: one process's micro-batches of a whole run.

    The micro-batches of all epochs are one row. Each optimizer step takes the next ``per_step`` of it, dealt to the
    processes in turn: the global batches are the same for any number of processes. A step may begin in one epoch and
    end in the next, and no sample is dropped or repeated.

    Args:
        data: what is trained on.
        micro_batch: samples in one.
        per_step: micro-batches in a global batch.
        steps: of the run.
        process: which process this is.
        processes: of how many.
        pieces: a micro-batch is handed out in so many parts, one after the other, of equal size or one sample less; a
            micro-batch of fewer samples gives empty ones too. Nothing else depends on it: not the order, not what a
            step holds, not the position.
        done: steps that a resumed run has behind it.
        position: what :meth:`position` said then, or None to count from the beginning.
    """

    def __init__(
        self,
        data: TrainingData,
        micro_batch: int,
        per_step: int,
        steps: int,
        process: int = 0,
        processes: int = 1,
        *,
        pieces: int = 1,
        done: int = 0,
        position: Mapping[str, Any] | None = None,
    ) -> None:
        self.data, self.micro_batch, self.per_step, self.total = data, micro_batch, per_step, per_step * steps
        self.process, self.processes, self.pieces = process, processes, pieces
        self.start, self._from = per_step * done, position
        self._begun: list[tuple[int, int, Any]] = []  # epoch, micro-batches before it, its order

    def __len__(self) -> int:
        return self.total // self.processes * self.pieces

    def __iter__(self) -> Iterator[list[Any]]:
        epoch, before, at = 0, 0, 0
        if self._from is not None:
            epoch, before, at = self._from["epoch"], self._from["before"], self.start
        resumed = self._from is not None
        self._begun = []
        while at < self.total:
            order: Any = self.data.batches(self.micro_batch, epoch)
            if resumed and self._from is not None:
                order.load_state_dict(self._from["order"])
                resumed = False
            elif hasattr(order, "__len__") and 0 < len(order) <= self.start - at:
                epoch, before, at = epoch + 1, before + len(order), at + len(order)
                continue
            self._begun.append((epoch, before, order))
            for batch in order:
                if at >= self.start and at % self.processes == self.process:
                    yield from _in_pieces(list(batch), self.pieces)
                at += 1
                if at == self.total:
                    return
            if at == before:
                return
            epoch, before = epoch + 1, at

    def position(self, steps: int) -> dict[str, Any] | None:
        """Where a run stands after so many steps, as plain data; None where counting does as well."""
        done = self.per_step * steps
        self._begun = self._begun[max((i for i, (_, b, _) in enumerate(self._begun) if b <= done), default=0) :]
        if not self._begun or not hasattr(self._begun[0][2], "state_dict"):
            return None
        epoch, before, order = self._begun[0]
        return {"epoch": epoch, "before": before, "order": order.state_dict(done - before)}

    def epochs(self, steps: int) -> float:
        """Passes over the data after so many steps; of a stream only whole ones are known."""
        length = epoch_length(self.data, self.micro_batch)
        if length:
            return self.per_step * steps / length
        return float(max((epoch for epoch, before, _ in self._begun if before <= self.per_step * steps), default=0))


def _in_pieces(batch: list[Any], pieces: int) -> Iterator[list[Any]]:
    """A batch in order, cut as evenly as it goes."""
    ends = [len(batch) * number // pieces for number in range(pieces + 1)]
    for begin, end in pairwise(ends):
        yield batch[begin:end]
