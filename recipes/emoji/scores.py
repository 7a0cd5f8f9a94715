"""From answers to numbers with intervals. Questions are resampled, not answers: one draw of concepts serves every
language and both arms of a comparison, since they were asked about the same pictures.

    Q  questions    L  languages
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from parrot_adapters.statistics import Interval, clustered_difference, clustered_interval

from .concepts import Split
from .evaluation import Answer
from .languages import CODES, ENGLISH, OTHERS

__all__ = ["MEASURES", "SPLITS", "Estimate", "compare", "erosion", "mean_of_others", "per_language", "table"]

MEASURES = ("choice", "naming", "in_language", "in_english")
SPLITS: tuple[Split, ...] = ("seen", "held-out")


@dataclass(frozen=True)
class Estimate:
    """A mean over questions, and its 95% interval over other questions."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, interval: Interval) -> Estimate:
        """The library's interval as the files of the recipes name it."""
        return cls(interval.estimate, interval.low, interval.high)

    def to_dict(self) -> dict[str, float]:
        return {"value": round(self.value, 4), "low": round(self.low, 4), "high": round(self.high, 4)}

    @property
    def excludes_zero(self) -> bool:
        return self.low > 0 or self.high < 0


def table(answers: Sequence[Answer], measure: str, split: Split) -> np.ndarray:
    """(Q, L) of 0 and 1: questions in the order of their concepts, languages in the order of CODES."""
    chosen = [answer for answer in answers if answer.split == split]
    rows = {concept: row for row, concept in enumerate(sorted({answer.concept for answer in chosen}))}
    values = np.full((len(rows), len(CODES)), np.nan)
    for answer in chosen:
        values[rows[answer.concept], CODES.index(answer.language)] = float(getattr(answer, measure))
    if np.isnan(values).any():
        raise ValueError("every question must be answered in every language")
    return values


def share(values: np.ndarray) -> Estimate:
    """Mean of (Q,) shares from 0 to 1."""
    return _estimate(clustered_interval, values)


def change(values: np.ndarray) -> Estimate:
    """Mean of (Q,) paired differences from -1 to 1."""
    return _estimate(clustered_difference, values)


def _estimate(interval: Callable[..., Interval], values: np.ndarray) -> Estimate:
    if len(values) == 0:
        return Estimate(float("nan"), float("nan"), float("nan"))
    return Estimate.of(interval(values.tolist(), range(len(values))))


def per_language(answers: Sequence[Answer], measure: str, split: Split) -> dict[str, Estimate]:
    """One estimate for each language."""
    values = table(answers, measure, split)
    return {code: share(values[:, column]) for column, code in enumerate(CODES)}


def mean_of_others(answers: Sequence[Answer], measure: str, split: Split) -> Estimate:
    """The unweighted mean over all languages but English."""
    return share(_others(table(answers, measure, split)))


def erosion(answers: Sequence[Answer], measure: str, split: Split) -> dict[str, Estimate]:
    """What each language lacks of English: accuracy in English minus accuracy in the language."""
    values = table(answers, measure, split)
    english = values[:, CODES.index(ENGLISH)]
    return {code: change(english - values[:, CODES.index(code)]) for code in OTHERS}


def compare(ours: Sequence[Answer], theirs: Sequence[Answer], measure: str, split: Split) -> Estimate:
    """Mean over all languages but English, ours minus theirs, paired by question."""
    return change(_others(table(ours, measure, split)) - _others(table(theirs, measure, split)))


def summarise(answers: Sequence[Answer]) -> Mapping[str, object]:
    """Every estimate of one arm, as plain data."""
    return {
        split: {
            "questions": len(table(answers, "choice", split)),
            **{
                measure: {
                    **{code: estimate.to_dict() for code, estimate in per_language(answers, measure, split).items()},
                    "mean_of_others": mean_of_others(answers, measure, split).to_dict(),
                }
                for measure in MEASURES
            },
            "erosion": {code: estimate.to_dict() for code, estimate in erosion(answers, "choice", split).items()},
        }
        for split in SPLITS
    }


def _others(values: np.ndarray) -> np.ndarray:
    """(Q, L) -> (Q,)"""
    return values[:, [CODES.index(code) for code in OTHERS]].mean(1)
