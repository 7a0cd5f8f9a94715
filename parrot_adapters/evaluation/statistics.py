"""The statistics of an evaluation under one public name: :mod:`parrot_adapters.statistics`, and pairs of runs."""

from parrot_adapters.evaluation.scores.letter_bias import PositionBias, position_bias
from parrot_adapters.evaluation.scores.paired_runs import (
    Erosion,
    Flips,
    McNemar,
    erosion,
    flips,
    mcnemar,
    paired_permutation,
)
from parrot_adapters.statistics import (
    Interval,
    clustered_difference,
    clustered_interval,
    holm,
    macro_difference,
    macro_interval,
)

__all__ = [
    "Erosion",
    "Flips",
    "Interval",
    "McNemar",
    "PositionBias",
    "clustered_difference",
    "clustered_interval",
    "erosion",
    "flips",
    "holm",
    "macro_difference",
    "macro_interval",
    "mcnemar",
    "paired_permutation",
    "position_bias",
]
