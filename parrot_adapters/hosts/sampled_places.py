"""Which places of a long row a fingerprint looks at: evenly spaced, the same wherever and whenever it is computed."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["sampled_places"]


def sampled_places(size: int, count: int) -> Tensor:
    """Evenly spaced places, the first and the last among them.

    Adapters of format 1 were saved with ``torch.linspace(0, size - 1, count).long()``, which computes in float32. Their
    fingerprints must still match, so that result is given wherever it was one. Above 2^24 float32 cannot hold every
    whole number: where ``size - 1`` rounds up, past the end, there was no result, and whole numbers are divided.

    Args:
        size: Number of places there are.
        count: Number of places wanted; all of them where there are fewer.

    Returns:
        (min(size, count),) int64 on the CPU, ascending, each from 0 to ``size - 1``.
    """
    count = min(size, count)
    number = torch.arange(count, dtype=torch.int64, device="cpu")
    if count < 2:
        return number
    last = torch.tensor(size - 1, dtype=torch.float32, device="cpu")
    return number * (size - 1) // (count - 1) if int(last) >= size else _as_linspace(last, number)


def _as_linspace(last: Tensor, number: Tensor) -> Tensor:
    """``torch.linspace(0, last, len(number)).long()``, spelt out so that it stays what it was.

    The first half counts up from 0, the second down from ``last``. Its product and difference are rounded once,
    together (a fused multiply-add): float64 holds them exactly.
    """
    step = last / (len(number) - 1)  # float32
    up = step * number
    down = (last.double() - step.double() * (len(number) - 1 - number)).float()
    return torch.where(number < len(number) // 2, up, down).long()
