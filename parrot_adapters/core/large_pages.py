"""New memory in large pages, where the operating system has them.

Linux hands out memory in pages of 4 KiB, and clears each when it is first written to: for a gradient of some hundred
megabytes that can take as long as to compute it. Asked for large pages (2 MiB), it takes a quarter of that. It is
advice: where a system has none, or does not want to, nothing changes, nor where all programs get them unasked.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from functools import cache
from typing import Any

from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor

__all__ = ["in_large_pages"]

WORTH = 1 << 24  # bytes; smaller pieces come from memory that a process has used before
PAGE, ADVICE = 1 << 21, 14  # of x86-64 and most others; MADV_HUGEPAGE


def in_large_pages(tensor: Tensor) -> Tensor:
    """The tensor itself, that nothing was written to; its memory will come in large pages where that is possible."""
    if tensor.device.type != "cpu" or tensor.nbytes < WORTH or isinstance(tensor, FakeTensor):
        return tensor
    if (advise := _advice()) is not None:
        start = -(-tensor.data_ptr() // PAGE) * PAGE
        end = (tensor.data_ptr() + tensor.nbytes) // PAGE * PAGE
        advise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), ADVICE)
    return tensor


@cache
def _advice() -> Callable[..., Any] | None:
    """``madvise`` of the C library, or None where there is none."""
    if not sys.platform.startswith("linux"):
        return None
    return getattr(ctypes.CDLL(None), "madvise", None)
