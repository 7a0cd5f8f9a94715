"""What arms answered, as arrays over runs and questions.

T  seeds    Q  questions
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from parrot_recipes.emoji.languages import CODES, OTHERS

from .registration import METRIC, SPLIT

if TYPE_CHECKING:
    from parrot_recipes.emoji.concepts import Split

    from .cells import CellResult

__all__ = ["others", "shared", "values"]


def values(results: Sequence[CellResult], measure: str, split: Split, language: str) -> np.ndarray:
    """(T, Q) of one language, a row for each seed."""
    column = CODES.index(language)
    return np.stack([result.tables[measure, split][:, column] for result in results])


def others(results: Sequence[CellResult], measure: str = METRIC, split: Split = SPLIT) -> np.ndarray:
    """(T, Q): the mean over the languages other than English."""
    return np.mean([values(results, measure, split, code) for code in OTHERS], 0)


def shared(arms: Mapping[str, Mapping[int, CellResult]], *keys: str) -> list[list[CellResult]]:
    """The results of each arm on the seeds that all of them have, in the order of the seeds."""
    places = sorted(set.intersection(*(set(arms[key]) for key in keys)))
    return [[arms[key][place] for place in places] for key in keys]
