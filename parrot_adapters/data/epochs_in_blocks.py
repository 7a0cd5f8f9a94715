"""Epochs of sources of which at least one does not know its length: what does not fit on disk, or has no end in sight.

Sources are read in their own order, in blocks; a block is shuffled, cut into micro-batches and dealt out. So every
sample comes once an epoch. The global order follows from (seed, epoch) and is the same for any number of processes, all
of which read the whole stream and take their share. A run resumes from where the sources were when a block began.

What needs to know the whole beforehand is refused: temperature over languages. Weights say how sources are interleaved;
they do not repeat a stream or cut it short.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.utils.data import Sampler

from parrot_adapters.data.batch_order import POOL, cut
from parrot_adapters.data.dialogue import Dialogue
from parrot_adapters.data.epoch_sampling import generator
from parrot_adapters.data.passes import Pass
from parrot_adapters.data.problems import BadSample
from parrot_adapters.data.settings import DataSettings
from parrot_adapters.errors import ConfigError, DataError, explain

__all__ = ["BlockOrder", "EpochsInBlocks", "OpenPasses"]

OpenPasses = Callable[[int], Sequence[Pass]]
"""Epoch -> a pass through each source, at its beginning."""


class EpochsInBlocks:
    """The epochs of a mixture that is read from beginning to end. A batch lists the dialogues themselves.

    Args:
        passes: opens the sources.
        settings: of the mixture.
        seed: of interleaving and shuffling.

    Raises:
        ConfigError: a setting needs to know the whole data set.
    """

    def __init__(self, passes: OpenPasses, settings: DataSettings, *, seed: int) -> None:
        if settings.language_temperature != 1.0:
            raise ConfigError(
                explain(
                    "data.language_temperature needs to know how many samples each language has; a stream does not.",
                    to_do="leave it at 1 (data.language_caps work), or do not stream",
                )
            )
        self.settings, self.seed = settings, seed
        self._passes = passes
        self._length: Callable[[Dialogue], int] | None = None

    def __getitem__(self, dialogue: Dialogue) -> Dialogue:
        return dialogue

    def __getstate__(self) -> dict[str, Any]:  # worker processes are handed dialogues and open nothing
        return self.__dict__ | {"_passes": None, "_length": None}

    @property
    def measured(self) -> bool:
        """Whether it is known how tokens are counted."""
        return self._length is not None

    def measure(self, length: Callable[[Dialogue], int], progress: object = None) -> None:
        """Say how tokens are counted: a stream is measured as it is read."""
        self._length = length

    def batches(self, micro_batch: int, epoch: int, *, rank: int, world: int, skip: int) -> BlockOrder:
        """One process's micro-batches of an epoch; see :meth:`parrot_adapters.data.Mixture.batches`."""
        return BlockOrder(self, micro_batch, epoch, rank=rank, world=world, skip=skip)

    def blocks(self, micro_batch: int, epoch: int, start: Position) -> Iterator[tuple[Position, list[list[Dialogue]]]]:
        """The epoch's blocks from a position on: where each begins, and its micro-batches in global order."""
        passes = self._passes(epoch)
        for one, state in zip(passes, start.streams, strict=bool(start.streams)):
            one.load_state_dict(state)
        reading = [iter(one) for one in passes]
        here = copy.deepcopy(start)
        here.open = here.open or [True] * len(passes)
        while any(here.open):
            here.streams = [copy.deepcopy(one.state_dict()) for one in passes]
            begun = copy.deepcopy(here)
            block = self._block(reading, [one.weight for one in passes], here, micro_batch * POOL, epoch)
            if not block:
                break
            made = self._cut(block, micro_batch, epoch, here.block)
            yield begun, made
            here.block, here.batches = here.block + 1, here.batches + len(made)
        if not here.batches:
            raise DataError("there is no usable sample in the streams.")

    def _block(
        self, reading: list[Iterator[Dialogue]], weights: list[float], here: Position, size: int, epoch: int
    ) -> list[Dialogue]:
        drawn = torch.rand(size, generator=generator(self.seed, epoch, "sources", here.block)).tolist()
        block: list[Dialogue] = []
        while len(block) < size and any(here.open):
            chosen = _choose(drawn[len(block)], [w * o for w, o in zip(weights, here.open, strict=True)], here.open)
            dialogue = next(reading[chosen], None)
            if dialogue is None:
                here.open[chosen] = False
                continue
            cap = self.settings.caps.get(dialogue.language or "")
            if cap is not None and here.languages[dialogue.language] >= cap:
                continue
            here.languages[dialogue.language] += 1
            block.append(dialogue)
        return block

    def _cut(self, block: list[Dialogue], micro_batch: int, epoch: int, number: int) -> list[list[Dialogue]]:
        lengths = None if self._length is None else torch.tensor([self._measured(dialogue) for dialogue in block])
        batches = cut(
            torch.randperm(len(block), generator=generator(self.seed, epoch, "block", number)),
            micro_batch,
            lengths=lengths,
            group=self.settings.group_by_length,
            budget=self.settings.token_budget,
            row=self.settings.max_length if self.settings.packing else None,
            seed=self.seed,
            epoch=epoch,
        )
        return [[block[i] for i in batch] for batch in batches]

    def _measured(self, dialogue: Dialogue) -> int:
        try:
            return 0 if self._length is None else self._length(dialogue)
        except BadSample:
            return 0


@dataclass
class Position:
    """The beginning of a block.

    Attributes:
        block: its number.
        batches: micro-batches before it.
        streams: where each stream is; empty for the beginning.
        open: which streams have more; empty for all.
        languages: samples of each language so far.
    """

    block: int = 0
    batches: int = 0
    streams: list[dict[str, Any]] = field(default_factory=list)
    open: list[bool] = field(default_factory=list)
    languages: Counter[str | None] = field(default_factory=Counter)


class BlockOrder(Sampler[list[Dialogue]]):
    """One process's micro-batches of one epoch, each a list of dialogues. Made by :meth:`EpochsInBlocks.batches`.

    It may run ahead of what is trained on, as data loaders with workers make it; :meth:`state_dict` is told how far
    training got.
    """

    def __init__(
        self, epochs: EpochsInBlocks, micro_batch: int, epoch: int, *, rank: int, world: int, skip: int
    ) -> None:
        self._epochs, self._micro_batch, self._epoch = epochs, micro_batch, epoch
        self._rank, self._world, self.skip = rank, world, skip
        self._known: list[Position] = [Position()]

    def __iter__(self) -> Iterator[list[Dialogue]]:
        first = self.skip * self._world  # in the global order
        start = max((p for p in self._known if p.batches <= first), key=lambda p: p.batches)
        self._known = [start]
        turn: list[list[Dialogue]] = []  # micro-batches of all processes
        number = start.batches
        for begun, batches in self._epochs.blocks(self._micro_batch, self._epoch, start):
            if begun.batches > self._known[-1].batches:
                self._known.append(begun)
            for batch in batches:
                number += 1
                if number <= first:
                    continue
                turn.append(batch)
                if len(turn) == self._world:
                    yield turn[self._rank]
                    turn = []
        if turn:  # they do not go round: the others get none, and take part all the same
            yield turn[self._rank] if self._rank < len(turn) else []

    def state_dict(self, done: int) -> dict[str, Any]:
        """What :meth:`load_state_dict` needs to go on after ``done`` micro-batches of this process, as plain data."""
        first = done * self._world
        start = max((p for p in self._known if p.batches <= first), key=lambda p: p.batches)
        self._known = [p for p in self._known if p.batches >= start.batches]
        return {
            "done": done,
            "block": start.block,
            "batches": start.batches,
            "streams": copy.deepcopy(start.streams),
            "open": list(start.open),
            "languages": [[language, count] for language, count in start.languages.items()],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where a run was interrupted, reading no more than a block again."""
        self.skip = state["done"]
        languages = Counter(dict(state["languages"]))
        self._known = [
            Position(),
            Position(state["block"], state["batches"], state["streams"], state["open"], languages),
        ]


def _choose(drawn: float, weights: list[float], open_: list[bool]) -> int:
    """The stream that a number from 0 to 1 falls on; where only those without weight are left, the first of them."""
    total = sum(weights)
    if total <= 0:
        return open_.index(True)
    reached = 0.0
    for number, weight in enumerate(weights):
        reached += weight
        if weight and drawn * total < reached:
            return number
    return max(number for number, weight in enumerate(weights) if weight)
