"""Differences between arms, with intervals that say what they are about.

Every arm answers the same questions (pictures) in the same languages, once for each seed (text model). So differences
are taken question by question and seed by seed, and there are two things to be unsure about:

* *other pictures*: questions are drawn again, each with all its languages and seeds (a cluster bootstrap). The text
  models stay the ones that were trained;
* *other text models*: Student's t over the seeds' means. With three seeds its factor is 4.3, and it deserves it.

Student's t and Holm's procedure are the library's. The bootstrap and the permutation test are those that were
registered before the first run: another way to draw would move published numbers in their last digit.

    T  seeds    Q  questions    R  resamples
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from parrot_recipes.emoji.scores import Estimate

from parrot_adapters import statistics

__all__ = [
    "Difference",
    "difference",
    "holm",
    "interaction",
    "over_both",
    "over_questions",
    "over_seeds",
    "sign_flip_probability",
]

RESAMPLES = 4000
FLIPS = 10_000


@dataclass(frozen=True)
class Difference:
    """One number with everything needed to doubt it.

    Attributes:
        questions: mean, and its interval over other pictures.
        across: mean, and its interval over other text models; infinite with one seed.
        seeds: the T seeds' own means.
        probability: two-sided, of a mean as far from zero if each question's sign were a coin's (clusters as above).
    """

    questions: Estimate
    across: Estimate
    seeds: tuple[float, ...]
    probability: float

    def to_dict(self) -> dict[str, object]:
        return {
            **self.questions.to_dict(),
            "across_seeds": [_finite(self.across.low), _finite(self.across.high)],
            "seeds": [round(value, 4) for value in self.seeds],
            "p": round(self.probability, 4),
        }


def over_questions(values: np.ndarray) -> Estimate:
    """Mean of (T, Q) values, interval over resampled questions."""
    return over_clusters(values.mean(0))


def over_clusters(values: np.ndarray) -> Estimate:
    """Mean of (Q,) values, percentile interval of resamples."""
    if values.size == 0:
        return Estimate(math.nan, math.nan, math.nan)
    low, high = np.quantile(_resamples(len(values)) @ values, [0.025, 0.975])
    return Estimate(float(values.mean()), float(low), float(high))


def over_seeds(means: Sequence[float] | np.ndarray) -> Estimate:
    """Mean of the seeds' means, Student's t interval; infinite with one seed."""
    return Estimate.of(statistics.seed_interval(means))


def over_both(values: np.ndarray) -> Estimate:
    """Mean of (T, Q) values, interval over questions *and* seeds: both are drawn again, independently (Owen 2007).

    Infinite with one seed, which cannot say how others would differ.
    """
    seeds, questions = values.shape
    if seeds < 2:
        return Estimate(float(values.mean()), -math.inf, math.inf)
    rng = np.random.default_rng(1)
    drawn = rng.multinomial(seeds, np.full(seeds, 1 / seeds), size=RESAMPLES) / seeds  # (R, T)
    means = ((drawn @ values) * _resamples(questions)).sum(1)
    low, high = np.quantile(means, [0.025, 0.975])
    return Estimate(float(values.mean()), float(low), float(high))


def difference(ours: np.ndarray, theirs: np.ndarray) -> Difference:
    """Ours minus theirs, (T, Q) each, paired by seed and question.

    Raises:
        ValueError: they are not answers to the same questions with the same seeds.
    """
    if ours.shape != theirs.shape or ours.ndim != 2:
        raise ValueError(f"arms of shapes {ours.shape} and {theirs.shape} cannot be paired")
    return contrast(ours - theirs)


def interaction(neither: np.ndarray, mixture: np.ndarray, guidance: np.ndarray, both: np.ndarray) -> Difference:
    """``(both - mixture) - (guidance - neither)``: what the two do together beyond each alone; all are (T, Q)."""
    shapes = {values.shape for values in (neither, mixture, guidance, both)}
    if len(shapes) > 1:
        raise ValueError(f"arms of shapes {sorted(shapes)} cannot be paired")
    return contrast((both - mixture) - (guidance - neither))


def contrast(values: np.ndarray) -> Difference:
    """A paired contrast (T, Q) as a :class:`Difference` from zero."""
    means = values.mean(1)
    return Difference(
        over_questions(values), over_seeds(means), tuple(map(float, means)), sign_flip_probability(values.mean(0))
    )


def sign_flip_probability(values: np.ndarray) -> float:
    """Two-sided permutation test of a zero mean: signs of (Q,) values are flipped at random (Fisher 1935).

    At least 1 / (FLIPS + 1): a finite number of flips cannot say less.
    """
    if values.size == 0 or not values.any():
        return 1.0
    # The tolerance counts ties of sums that differ by rounding alone.
    as_far = (np.abs(_signs(len(values)) @ values) >= abs(values.sum()) - 1e-9).sum()
    return float((as_far + 1) / (FLIPS + 1))


def holm(probabilities: Sequence[float]) -> list[float]:
    """Adjusted for being several (Holm 1979): comparable with 0.05 all together."""
    adjusted = statistics.holm({str(place): value for place, value in enumerate(probabilities)})
    return [adjusted[str(place)] for place in range(len(probabilities))]


@lru_cache(maxsize=8)
def _resamples(questions: int) -> np.ndarray:
    """(R, Q) shares with which each resample drew each question."""
    rng = np.random.default_rng(0)
    return rng.multinomial(questions, np.full(questions, 1 / questions), size=RESAMPLES) / questions


@lru_cache(maxsize=4)
def _signs(questions: int) -> np.ndarray:
    """(FLIPS, Q) of -1 and 1."""
    return np.random.default_rng(0).choice((-1.0, 1.0), size=(FLIPS, questions))


def _finite(value: float) -> float | None:
    """JSON knows no infinity."""
    return round(value, 4) if math.isfinite(value) else None
