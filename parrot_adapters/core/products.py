"""Matrix products of float32 on a processor, by whichever of torch's libraries is faster there.

``torch.mm`` asks MKL. oneDNN, which torch brings too, took 0.87 of its time for matrices of some hundred rows and more
on an AMD processor with AVX-512, and 1.12 of it on one of Intel's, for which MKL is written
(``benchmarks/rows/experts.py`` has a row of it). Both add in float32; they round differently.
"""

from __future__ import annotations

import functools
import platform
from pathlib import Path

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor

__all__ = ["add_product", "of_intel", "product"]

ROWS, COLUMNS = 512, 256  # of matrices from which on oneDNN is the faster one


def product(left: Tensor, right: Tensor, room: Tensor | None = None) -> Tensor:
    """``left @ right`` without a graph: (n, k) and (k, m) -> (n, m), in ``room`` or in new memory."""
    if _suit_onednn(left, right):
        found: Tensor = torch.ops.mkldnn._linear_pointwise(left, right.T, None, "none", [], "")
        return found
    return torch.mm(left, right) if room is None else torch.mm(left, right, out=room)


def add_product(into: Tensor, left: Tensor, right: Tensor, *, first: bool = False) -> None:
    """Add ``left @ right`` to a matrix, or put it there in place of what is in it."""
    if _suit_onednn(left, right):
        found = product(left, right)
        into.copy_(found) if first else into.add_(found)
    elif first:
        torch.mm(left, right, out=into)
    else:
        torch.addmm(into, left, right, out=into)


def _suit_onednn(left: Tensor, right: Tensor) -> bool:
    wide = left.shape[0] >= ROWS and min(right.shape) >= COLUMNS
    return (
        wide
        and left.device.type == right.device.type == "cpu"
        and left.dtype == right.dtype == torch.float32
        and left.is_contiguous()
        and not isinstance(left, FakeTensor)
        and not isinstance(right, FakeTensor)
        and torch.backends.mkldnn.is_available()
        and bool(torch.backends.mkldnn.enabled)
        and torch.backends.cpu.get_cpu_capability() == "AVX512"
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
        and not of_intel()
    )


@functools.cache
def of_intel() -> bool:
    """Whether this machine's processor is one of Intel's."""
    known = Path("/proc/cpuinfo")
    return "GenuineIntel" in (known.read_text() if known.exists() else platform.processor())
