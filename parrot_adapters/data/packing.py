"""Samples end to end in the rows of a micro-batch, instead of one a row and filled up.

    one a row    aaaaaaaaaa        packed    aaaaaaaaaa
                 bbbb......                  bbbbcccddd
                 ccc.......
                 ddd.......

A packed batch says whose each position is (:data:`SEGMENTS`); everything else follows from that: positions, who may
see whom, which text routes which picture (``hosts/packed_rows.py``). It holds the same samples as the batch it is made
from.

n  samples    R  rows    S  positions
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from heapq import heapreplace
from itertools import islice
from operator import itemgetter
from typing import Any

import torch
from torch import Tensor

from parrot_adapters.core.types import IGNORED

__all__ = ["SEGMENTS", "PackedCollator", "balanced", "pack", "per_position", "row_sizes", "share_out"]

SEGMENTS = "parrot_segments"
"""Key of a packed batch: (R, S) int64, the sample of each position, -1 for padding. Samples count row by row."""
NOT_TEXT = ("pixel", "image", "video", "spatial")  # how tensors begin that may have a text's shape by accident


class PackedCollator:
    """Packs what another collator makes.

    Args:
        collator: Function that turns samples into the host's arguments, one sample a row.
        max_length: Length of the longest row in tokens.
    """

    def __init__(self, collator: Callable[[list[Any]], dict[str, Any]], max_length: int) -> None:
        self.collator, self.max_length = collator, max_length

    def __call__(self, samples: list[Any]) -> dict[str, Any]:
        """The packed batch of some samples, in the order that the collator gives them."""
        return pack(self.collator(samples), self.max_length)


def pack(batch: Mapping[str, Any], max_length: int, *, rows: Sequence[int] | None = None) -> dict[str, Any]:
    """Lay a batch out with several samples in a row.

    Samples stay in order, and so do their pictures. Whatever has a value per position moves along; padding, behind the
    last sample of a row, is what the batch was padded with.

    Args:
        batch: ``input_ids`` (n, S), ``attention_mask`` (n, S) and whatever else a processor makes; padded on any side.
        max_length: longest row; only a sample that is longer by itself makes a longer one.
        rows: how many samples each row takes; None for the layout with the least padding (:func:`share_out`).

    Returns:
        the same keys without ``attention_mask``, and :data:`SEGMENTS`. A sample's first token is never a label: in its
        row the token before it is another sample's.
    """
    ids = batch["input_ids"]
    mask = batch["attention_mask"].bool() if "attention_mask" in batch else torch.ones_like(ids, dtype=torch.bool)
    lengths = mask.sum(1).tolist()
    filled = list(share_out(lengths, max_length) if rows is None else rows)
    number_of = torch.arange(len(filled)).repeat_interleave(torch.tensor(filled))  # of the row, by sample
    ends = torch.tensor(lengths).cumsum(0)
    before = torch.tensor([0, *ends.tolist()])[torch.tensor([0, *filled]).cumsum(0)[:-1]]  # tokens in earlier rows
    sample = torch.arange(len(lengths)).repeat_interleave(torch.tensor(lengths))
    row = number_of[sample]
    column = torch.arange(len(sample)) - before[row]
    size = int(column.max()) + 1

    def moved(values: Tensor, fill: Any) -> Tensor:
        made = values.new_full((len(filled), size), fill)
        made[row, column] = values[mask]
        return made

    packed = {name: value for name, value in batch.items() if name != "attention_mask"}
    for name, value in per_position(packed).items():
        packed[name] = moved(value, value[~mask][0] if not mask.all() else value[0, -1])
    segments = torch.full((len(filled), size), -1)
    segments[row, column] = sample
    if "labels" in packed:
        first = torch.ones_like(segments, dtype=torch.bool)
        first[:, 1:] = segments[:, 1:] != segments[:, :-1]
        packed["labels"] = packed["labels"].masked_fill(first | (segments < 0), IGNORED)
    return {**packed, SEGMENTS: segments}


def row_sizes(lengths: Sequence[int], max_length: int) -> list[int]:
    """Tokens of each row that :func:`share_out` fills."""
    left = iter(lengths)
    return [sum(islice(left, count)) for count in share_out(lengths, max_length)]


def per_position(batch: Mapping[str, Any]) -> dict[str, Tensor]:
    """What has a value for each position of the rows, ``input_ids`` included."""
    shape = batch["input_ids"].shape
    return {
        name: value
        for name, value in batch.items()
        if isinstance(value, Tensor) and value.shape == shape and not name.startswith(NOT_TEXT)
    }


def share_out(lengths: Sequence[int], max_length: int) -> list[int]:
    """How many consecutive samples each row takes, so that the rows have the least padding.

    Of layouts with as little padding, the one with the most rows: attention costs the square of a row's length.

    Args:
        lengths: of the samples; there is at least one.
        max_length: longest row.
    """
    best, positions, total = [1] * len(lengths), len(lengths) * max(lengths), sum(lengths)
    for rows in range(len(lengths) - 1, 0, -1):
        if positions == total:
            break
        sizes = range(max(*lengths, -(-total // rows)), min(max_length, (positions - 1) // rows) + 1)
        at = bisect_left(sizes, -rows, key=lambda size: -len(_filled(lengths, size)))  # the first with so few rows
        if at < len(sizes):
            best, positions = _filled(lengths, sizes[at]), rows * sizes[at]
    return best


def _filled(lengths: Sequence[int], size: int) -> list[int]:
    """Samples of each row, rows of a size being filled one after the other."""
    rows, used = [0], 0
    for length in lengths:
        if used + length > size and rows[-1]:
            rows.append(0)
            used = 0
        rows[-1] += 1
        used += length
    return rows


def balanced(lengths: Sequence[int], max_length: int) -> list[int]:
    """An order of samples whose neighbours fill rows evenly; :func:`share_out` finds the rows in it.

    The longest first, each sample joins the row that is shortest so far; the number of rows is the one with the least
    padding, from the fewest that could do to twice as many.

    Args:
        lengths: of the samples, possibly estimates.
        max_length: longest row.

    Returns:
        their numbers.
    """
    longest_first = sorted(range(len(lengths)), key=lambda number: -lengths[number])
    best, positions = longest_first, len(lengths) * max(lengths, default=0)
    fewest = max(1, -(-sum(lengths) // max_length))
    for rows in range(fewest, min(2 * fewest, len(lengths)) + 1):
        heap: list[tuple[int, int, list[int]]] = [(0, row, []) for row in range(rows)]
        for number in longest_first:
            used, row, held = heap[0]
            held.append(number)
            heapreplace(heap, (used + lengths[number], row, held))
        size = max(used for used, _, _ in heap)
        if size <= max_length and rows * size < positions:
            positions = rows * size
            best = [number for _, _, held in sorted(heap, key=itemgetter(1)) for number in held]
    return best
