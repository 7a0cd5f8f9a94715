"""Batches of questions of like length, made ready in one thread while another computes."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

__all__ = ["batches", "prefetched", "spread"]

T = TypeVar("T")
U = TypeVar("U")

AHEAD = 2


def batches(
    items: Sequence[T],
    lengths: Sequence[int],
    size: int,
    kinds: Sequence[int],
    together: Sequence[Hashable] | None = None,
) -> list[list[T]]:
    """Items in batches, longest first: memory runs out at once or never.

    Args:
        items: what to batch.
        lengths: of each item.
        size: items a batch at most.
        kinds: items of different kinds never share a batch (with and without pictures).
        together: of each item; equal ones share a batch as far as ``size`` allows. None where nothing is shared.
    """
    groups: dict[Hashable, list[int]] = {}
    for i, kind in enumerate(kinds):
        groups.setdefault((kind, i if together is None else (together[i],)), []).append(i)
    for group in groups.values():
        group.sort(key=lambda i: -lengths[i])
    order = sorted(groups.values(), key=lambda group: (kinds[group[0]], -lengths[group[0]], group[0]))
    made: list[list[T]] = []
    last: int | None = None
    for group in order:
        kind = kinds[group[0]]
        if kind != last or (len(group) <= size < len(made[-1]) + len(group)):
            made.append([])
        for i in group:
            if len(made[-1]) == size:
                made.append([])
            made[-1].append(items[i])
        last = kind
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
