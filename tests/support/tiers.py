"""Which of many alike cases the default tier runs; the slow tier runs them all."""

from __future__ import annotations

from collections.abc import Callable, Iterable
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
