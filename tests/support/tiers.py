"""Which of many alike cases the default tier runs; the slow tier runs them all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pytest


def late_unless(now: Callable[[Any], bool] | Iterable[Any], cases: Iterable[Any]) -> list[Any]:
    """Cases for ``pytest.mark.parametrize``, marked slow but for some.

    Args:
        now: the cases of the default tier, or what tells them.
        cases: all cases; tuples are several arguments.
    """
    wanted = now if callable(now) else list(now).__contains__
    made = []
    for case in cases:
        values = case if isinstance(case, tuple) else (case,)
        made.append(pytest.param(*values, marks=() if wanted(case) else pytest.mark.slow))
    assert any(not case.marks for case in made), "nothing is left for the default tier"
    return made


def leave_few(items: Sequence[pytest.Item]) -> None:
    """Mark cases of tests with the mark ``few(n)`` slow, but for n of them, evenly spaced.

    Args:
        items: all that was collected; cases that are slow already are left out.
    """
    alike: dict[str, list[pytest.Item]] = {}
    for item in items:
        if item.get_closest_marker("few") and not item.get_closest_marker("slow"):
            alike.setdefault(item.nodeid.partition("[")[0], []).append(item)
    for cases in alike.values():
        mark = cases[0].get_closest_marker("few")
        assert mark is not None
        (count,) = mark.args
        now = {round(i * len(cases) / count) for i in range(count)}
        for place, item in enumerate(cases):
            if place not in now:
                item.add_marker(pytest.mark.slow)
