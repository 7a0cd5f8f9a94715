"""Two runs, or two languages, on the units both have: what is lost, what flips, and whether chance would do as much.

Hits are given by unit (a row, or the passes of a circular question), and the question of each unit by ``clusters``.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass

from parrot_adapters.statistics import Interval, clustered_difference, mcnemar_probability, sign_flip_probability

__all__ = ["Erosion", "Flips", "McNemar", "erosion", "flips", "mcnemar", "paired_permutation"]

Hits = Mapping[Hashable, float]
Clusters = Mapping[Hashable, Hashable]


@dataclass(frozen=True)
class Erosion(Interval):
    """Accuracy lost from English to another language, on the questions asked in both.

    Attributes:
        questions: Number of questions asked in both languages.
        estimate: Accuracy lost, in English minus in the other language, as a fraction.
        low: Lower end of its interval.
        high: Upper end of its interval.
        level: Share of repetitions in which such an interval holds the truth (default 0.95).
    """

    questions: int = 0


@dataclass(frozen=True)
class Flips:
    """How often a right answer turns wrong or a wrong one right between two conditions.

    Attributes:
        rate: Share of units that flip.
        lost: Units that only the first condition has right.
        gained: Units that only the second has right.
        questions: Units compared.
    """

    rate: float
    lost: int
    gained: int
    questions: int


@dataclass(frozen=True)
class McNemar:
    """Which run is right where only one is, and the two-sided exact p of so uneven a count.

    Attributes:
        only_a: Units that only the first run has right.
        only_b: Units that only the second has right.
        p: Probability of a split as uneven, were units independent.
    """

    only_a: int
    only_b: int
    p: float


def erosion(
    english: Hits,
    other: Hits,
    *,
    clusters: Clusters | None = None,
    resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> Erosion:
    """Return accuracy in English minus accuracy in another language, on the same units, with its interval.

    Args:
        english: Hits in English by unit.
        other: Hits in the other language by unit.
        clusters: Question of each unit, where several units ask one; by default each unit is its own.
        resamples: How often the questions are drawn again.
        level: Share of repetitions in which the interval is to hold the truth.
        seed: Seed of the random draws.
    """
    units = _shared(english, other)
    questions = [clusters[unit] for unit in units] if clusters else units
    lost = [float(english[unit] - other[unit]) for unit in units]
    found = clustered_difference(lost, questions, resamples=resamples, level=level, seed=seed)
    return Erosion(found.estimate, found.low, found.high, level, len(set(questions)))


def flips(a: Hits, b: Hits) -> Flips:
    """Count the units that are right in one condition only (two languages, two runs, two option orders).

    Args:
        a: Hits in one condition by unit.
        b: Hits in the other.
    """
    shared = _shared(a, b)
    lost = sum(1 for unit in shared if a[unit] > b[unit])
    gained = sum(1 for unit in shared if a[unit] < b[unit])
    return Flips((lost + gained) / len(shared), lost, gained, len(shared))


def mcnemar(a: Hits, b: Hits) -> McNemar:
    """Return McNemar's exact test on the units both runs have; for independent units only.

    Args:
        a: Hits of one run by unit.
        b: Hits of the other.
    """
    found = flips(a, b)
    return McNemar(found.lost, found.gained, mcnemar_probability(found.lost, found.gained))


def paired_permutation(
    a: Hits, b: Hits, *, clusters: Clusters | None = None, resamples: int = 9999, seed: int = 0
) -> float:
    """Return the two-sided p of the difference of two runs, by swapping the runs question by question.

    Args:
        a: Hits of one run by unit.
        b: Hits of the other.
        clusters: Question of each unit, where several units ask one; by default each unit is its own.
        resamples: How many random swaps, where more than 16 questions differ.
        seed: Seed of the random swaps.
    """
    shared = _shared(a, b)
    asked = [clusters[unit] for unit in shared] if clusters else None
    return sign_flip_probability([a[unit] - b[unit] for unit in shared], asked, resamples=resamples, seed=seed)


def _shared(a: Hits, b: Hits) -> list[Hashable]:
    shared = [unit for unit in a if unit in b]
    if not shared:
        raise ValueError(f"the two runs share no unit: {len(a)} and {len(b)} units")
    return shared
