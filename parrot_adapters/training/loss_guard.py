"""When to stop a run that has gone wrong: a loss that is no number, or one that exploded and stays there.

A loss is *high* when it is more than twice the median of the last :data:`WINDOW` losses that were not high, and more
than :data:`MARGIN` nats above it. One high loss is a spike: spikes pass, and a single bad batch makes one. The run has
exploded when :data:`PATIENCE` steps in a row are high. High losses never enter the median, so a slow slide upwards is
judged by the level before it. Nothing is judged before :data:`WARM_UP` steps.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from statistics import median
from typing import Any

__all__ = ["MARGIN", "PATIENCE", "WARM_UP", "WINDOW", "LossGuard"]

WINDOW = 200
"""Losses whose median is the usual level."""
MARGIN = 2.0
"""Nats above it: a run near zero loss may double without harm."""
PATIENCE = 10
"""High losses in a row that are no spike any more."""
WARM_UP = 20
"""Losses before anything is judged."""


class LossGuard:
    """Watches the losses of optimizer steps.

    Attributes:
        high: how many of the last losses in a row were high.
    """

    def __init__(self) -> None:
        self._usual: deque[float] = deque(maxlen=WINDOW)
        self.high = 0

    def verdict(self, loss: float, grad_norm: float) -> str | None:
        """What is wrong, in words, or None. Asked once for each step, before the optimizer moves."""
        if not math.isfinite(loss):
            return f"the loss is {loss}"
        if not math.isfinite(grad_norm):
            return f"the loss is {loss:.4g}, and the norm of its gradient is {grad_norm}"
        level = median(self._usual) if len(self._usual) >= WARM_UP else math.inf
        if loss > 2 * level and loss > level + MARGIN:
            self.high += 1
        else:
            self.high = 0
            self._usual.append(loss)
        if self.high >= PATIENCE:
            return f"the loss has been high for {self.high} steps (now {loss:.4g}, usually {level:.4g})"
        return None

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {"usual": list(self._usual), "high": self.high}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up where a checkpoint left off."""
        self._usual = deque(state["usual"], maxlen=WINDOW)
        self.high = int(state["high"])
