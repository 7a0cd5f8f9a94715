"""What a study found, cell by cell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .cells import CellResult
from .presets import StudyConfig

__all__ = ["Results"]


@dataclass
class Results:
    """What a study found.

    Attributes:
        config: what was run.
        rates: rate of stage 2 of each group of arms.
        tuning: validation choice accuracy by group and rate, the grounds of ``rates``.
        cells: (regime, seed) -> results, the host after stage 1 first, then arms in order.
        data: (regime, seed) -> fingerprint of what all its arms were trained on.
    """

    config: StudyConfig
    rates: Mapping[str, float]
    tuning: Mapping[str, Mapping[float, float]]
    cells: dict[tuple[str, int], list[CellResult]] = field(default_factory=dict)
    data: dict[tuple[str, int], str] = field(default_factory=dict)
