"""Whether time grows with the size of the work or faster: one size against another, so that a slow machine passes."""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["grows_linearly"]


def grows_linearly(work: Callable[[int], object], small: int, large: int) -> bool:
    """Whether ``work(large)`` takes about ``large / small`` times what ``work(small)`` takes.

    Up to four times that is let pass, for caches and other processes; a square would be ``large / small`` times that.
    """
    assert large >= 10 * small, "closer sizes do not part a line from a square"
    work(small)  # whatever is made once
    return _seconds(work, large) < 4 * large / small * max(_seconds(work, small), _seconds(work, small), 1e-3)


def _seconds(work: Callable[[int], object], size: int) -> float:
    start = time.process_time()
    work(size)
    return time.process_time() - start
