"""Batches of questions of like length, made ready in one thread while another computes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

__all__ = ["batches", "prefetched", "spread"]

T = TypeVar("T")
U = TypeVar("U")

AHEAD = 2


def batches(items: Sequence[T], lengths: Sequence[int], size: int, kinds: Sequence[int]) -> list[list[T]]:
    """Items in batches, longest first: memory runs out at once or never.

    Args:
        items: what to batch.
        lengths: of each item.
        size: items a batch at most.
        kinds: items of different kinds never share a batch (with and without pictures).
    """
    order = sorted(range(len(items)), key=lambda i: (kinds[i], -lengths[i], i))
    made: list[list[T]] = []
    last: int | None = None
    for i in order:
        if kinds[i] != last or len(made[-1]) == size:
            made.append([])
        made[-1].append(items[i])
        last = kinds[i]
    return made


def prefetched(items: Sequence[T], prepare: Callable[[T], U]) -> Iterator[tuple[T, U]]:
    """Each item with ``prepare(item)``, which runs ahead in a thread of its own; its errors are raised here."""
    with ThreadPoolExecutor(1, thread_name_prefix="parrot-prefetch") as pool:
        waiting = [pool.submit(prepare, item) for item in items[:AHEAD]]
        try:
            for place, item in enumerate(items):
                ready = waiting.pop(0).result()
                if place + AHEAD < len(items):
                    waiting.append(pool.submit(prepare, items[place + AHEAD]))
                yield item, ready
        finally:
            for future in waiting:
                future.cancel()


def spread(items: Sequence[T], count: int) -> list[T]:
    """``count`` items from first to last, evenly."""
    if len(items) <= count:
        return list(items)
    return [items[round(i * (len(items) - 1) / (count - 1))] for i in range(count)]
