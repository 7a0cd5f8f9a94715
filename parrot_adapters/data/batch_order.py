"""The micro-batches of an epoch in one global order, of which each process takes its share.

    global order     m0 m1 m2 m3 m4 ...
    two processes    m0    m2    m4 ...      and     m1    m3   ...

Consecutive micro-batches make an optimizer step, so a step holds the same samples however many processes share it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.utils.data import Sampler

from parrot_adapters.data.epoch_sampling import generator
from parrot_adapters.data.packing import balanced, row_sizes

__all__ = ["BatchOrder", "cut", "padding"]

POOL = 64  # micro-batches among which samples of similar length are brought together


class BatchOrder(Sampler[list[int]]):
    """One process's micro-batches of one epoch, each a list of sample indices; a torch batch sampler.

    Where the last ones do not go round, processes that would get none get an empty list, so that all of them take part
    in every step.

    Args:
        everything: the epoch's micro-batches in global order.
        rank: this process.
        world: number of processes.
        skip: micro-batches of this process that are done.
    """

    def __init__(self, everything: Sequence[list[int]], *, rank: int = 0, world: int = 1, skip: int = 0) -> None:
        self._everything, self._rank, self._world, self.skip = everything, rank, world, skip

    def __len__(self) -> int:
        return max(0, -(-len(self._everything) // self._world) - self.skip)

    def __iter__(self) -> Iterator[list[int]]:
        for turn in range(self.skip, self.skip + len(self)):
            number = turn * self._world + self._rank
            yield self._everything[number] if number < len(self._everything) else []


def cut(
    order: Tensor,
    size: int,
    *,
    lengths: Tensor | None = None,
    group: bool = False,
    budget: int | None = None,
    row: int | None = None,
    seed: int = 0,
    epoch: int = 0,
) -> list[list[int]]:
    """Cut an epoch into micro-batches.

    Args:
        order: (N,) int64 sample indices.
        size: most samples of a micro-batch.
        lengths: (M,) tokens of every sample by index; needed for what follows.
        group: bring samples of similar length together, within pools of 64 micro-batches.
        budget: most padded tokens of a micro-batch (packed: tokens); a longer sample is alone.
        row: tokens of a packed row, where samples are packed: micro-batches list them so that rows come out even.
        seed: for the order of grouped micro-batches.
        epoch: likewise.
    """
    if lengths is None or not (group or budget or row):
        return [part.tolist() for part in order.split(size)]
    made: list[list[int]] = []
    for pool in order.split(size * POOL) if group else (order,):
        by_length = pool[lengths[pool].sort(descending=True, stable=True).indices] if group else pool
        made += _filled(by_length.tolist(), lengths[by_length].tolist(), size, budget, packed=row is not None)
    if row is not None:
        made = [[batch[i] for i in balanced(lengths[batch].tolist(), row)] for batch in made]
    if not group:
        return made
    return [made[i] for i in torch.randperm(len(made), generator=generator(seed, epoch, "groups")).tolist()]


def padding(batches: Sequence[list[int]], lengths: Tensor, *, row: int | None = None) -> float:
    """Share of positions that are padding when micro-batches are laid out.

    Args:
        batches: sample indices.
        lengths: (M,) tokens of every sample by index.
        row: tokens of a packed row; None for a row for each sample.
    """
    real = positions = 0
    for batch in batches:
        mine = lengths[batch].tolist()
        sizes = mine if row is None else row_sizes(mine, row)
        real, positions = real + sum(mine), positions + len(sizes) * max(sizes)
    return 1 - real / max(positions, 1)


def _filled(indices: list[int], lengths: list[int], size: int, budget: int | None, *, packed: bool) -> list[list[int]]:
    """Micro-batches filled one after the other."""
    made: list[list[int]] = []
    longest = total = 0
    for index, length in zip(indices, lengths, strict=True):
        longest, total = max(longest, length), total + length
        tokens = total if packed else longest * (len(made[-1]) + 1) if made else 0
        if made and len(made[-1]) < size and (budget is None or tokens <= budget):
            made[-1].append(index)
        else:
            made.append([index])
            longest = total = length
    return made
