"""Is a model as often right as it is sure? Confidence is the softmax of the log-likelihoods of a question's letters."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean
from typing import TYPE_CHECKING, NamedTuple

from parrot_adapters.evaluation.scores.result import ReliabilityBin

if TYPE_CHECKING:
    from parrot_adapters.evaluation.answers.evaluate import Evaluation

__all__ = ["Calibration", "calibration", "calibration_of"]

BINS = 10


class Calibration(NamedTuple):
    """A reliability diagram as numbers; bins without rows are left out."""

    error: float
    """Expected calibration error: mean distance of confidence and accuracy over rows (arXiv 1706.04599)."""
    bins: tuple[ReliabilityBin, ...]


def calibration(pairs: Sequence[tuple[float, bool]], bins: int = BINS) -> Calibration:
    """Bin (confidence, is right) pairs by confidence.

    >>> calibration([(0.9, True), (0.95, True), (0.2, False)]).error
    0.11666666666666664
    """
    held: dict[int, list[tuple[float, bool]]] = {}
    for confidence, right in pairs:
        held.setdefault(min(bins - 1, int(confidence * bins)), []).append((confidence, right))
    made = tuple(
        ReliabilityBin(
            place / bins, (place + 1) / bins, len(rows), fmean(c for c, _ in rows), fmean(r for _, r in rows)
        )
        for place, rows in sorted(held.items())
    )
    return Calibration(sum(b.rows * abs(b.confidence - b.accuracy) for b in made) / len(pairs), made)


def calibration_of(run: Evaluation) -> dict[str, Calibration]:
    """By subset; empty where replies were generated, since they come without likelihoods."""
    pairs: dict[str, list[tuple[float, bool]]] = {}
    for question, answer in zip(run.questions, run.answers, strict=True):
        if answer.scores is None or question.row.answer is None:
            continue
        values = answer.scores["letter"]
        best = max(sorted(values), key=lambda letter: values[letter])
        confidence = 1 / sum(math.exp(value - values[best]) for value in values.values())
        pairs.setdefault(question.subset, []).append((confidence, best == question.row.answer))
    return {name: calibration(found) for name, found in pairs.items()}
