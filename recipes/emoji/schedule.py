"""How one stage is trained. Plain data: presets are read without torch."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Schedule"]


@dataclass(frozen=True)
class Schedule:
    """AdamW, linear warm-up, cosine decay."""

    steps: int
    learning_rate: float
    batch_size: int = 32
    weight_decay: float = 0.01
    warmup: float = 0.03  # share of the steps
