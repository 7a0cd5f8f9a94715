"""How sure is a score, and do two runs differ? Pure functions of hits; the only module here that needs numpy.

The languages of a benchmark ask the same questions, and a circular question is asked several times, so rows are not
independent: everything here resamples or flips whole questions. ``Q`` questions, ``R`` resamples.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from statistics import fmean, pstdev
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Erosion",
    "Flips",
    "Interval",
    "McNemar",
    "PositionBias",
    "clustered_interval",
    "erosion",
    "flips",
    "holm",
    "macro_interval",
    "mcnemar",
    "paired_permutation",
    "position_bias",
]

BLOCK = 2**22
"""Counts held at once while resampling: 32 MB."""
EXACT_UP_TO = 16
"""Questions that differ, up to which all sign patterns are tried."""


class Interval(NamedTuple):
    """An estimate and the ends of its interval at ``level``."""

    estimate: float
    low: float
    high: float
    level: float


class McNemar(NamedTuple):
    """Which run is right where only one is, and the two-sided exact p of so uneven a count."""

    only_a: int
    only_b: int
    p: float


class Erosion(NamedTuple):
    """Accuracy lost from English to another language, on the questions asked in both."""

    interval: Interval
    questions: int


class Flips(NamedTuple):
    """How often a right answer turns wrong or a wrong one right between two conditions."""

    rate: float
    lost: int
    gained: int
    questions: int


class PositionBias(NamedTuple):
    """Does the model favour a letter?"""

    chosen: Mapping[str, float]
    """Share of found choices by letter."""
    keyed: Mapping[str, float]
    """Share of right answers by letter, over the same rows."""
    accuracy: Mapping[str, float]
    """Accuracy of the rows whose right answer is that letter."""
    distance: float
    """Total variation between ``chosen`` and ``keyed``: 0 for none, 1 for all."""
    spread: float
    """Standard deviation of ``accuracy`` over letters (RStd of arXiv 2309.03882)."""
    not_found: int


def clustered_interval(
    hits: Sequence[float],
    clusters: Sequence[Hashable],
    *,
    resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """The mean of ``hits`` with a percentile bootstrap interval that resamples whole clusters.

    Args:
        hits: one number a row, usually 0 or 1.
        clusters: the question each row asks, the same in every language and circular pass.
        resamples: how often the questions are drawn again.
        level: the share of resamples inside the interval.
        seed: of the draws; the same seed gives the same interval.
    """
    totals, sizes = _by_cluster(hits, clusters)
    means = _resampled(totals, resamples, seed) / _resampled(sizes, resamples, seed)
    return _interval(fmean(hits), means, level)


def macro_interval(
    groups: Mapping[str, tuple[Sequence[float], Sequence[Hashable]]],
    *,
    resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """The plain mean of several groups' means (languages), with an interval that resamples questions for all at once.

    A resample in which a group has no question leaves that group out.

    Args:
        groups: hits and clusters of each group, as :func:`clustered_interval` takes them.
        resamples: how often the questions are drawn again.
        level: the share of resamples inside the interval.
        seed: of the draws.
    """
    order = {cluster: i for i, cluster in enumerate(dict.fromkeys(c for _, cs in groups.values() for c in cs))}
    means = []  # of each group: (R,)
    for hits, clusters in groups.values():
        totals, sizes = np.zeros(len(order)), np.zeros(len(order))
        for hit, cluster in zip(hits, clusters, strict=True):
            totals[order[cluster]] += hit
            sizes[order[cluster]] += 1
        drawn = _resampled(sizes, resamples, seed)
        means.append(_resampled(totals, resamples, seed) / np.where(drawn, drawn, np.nan))
    kept = np.array(means)
    counted = np.sum(~np.isnan(kept), axis=0)
    estimate = fmean(fmean(hits) for hits, _ in groups.values())
    return _interval(estimate, np.nansum(kept, axis=0)[counted > 0] / counted[counted > 0], level)


def mcnemar(a: Mapping[Hashable, float], b: Mapping[Hashable, float]) -> McNemar:
    """McNemar's exact test on the units both runs have: of those that only one got right, is the split even?

    Args:
        a: hits of one run by unit.
        b: hits of the other.
    """
    shared = _shared(a, b)
    only_a = sum(1 for unit in shared if a[unit] > b[unit])
    only_b = sum(1 for unit in shared if a[unit] < b[unit])
    n, fewer = only_a + only_b, min(only_a, only_b)
    tail, term = 0, 1
    for i in range(fewer + 1):  # term is n over i
        tail += term
        term = term * (n - i) // (i + 1)
    return McNemar(only_a, only_b, min(1.0, 2 * tail / 2**n))


def paired_permutation(
    a: Mapping[Hashable, float],
    b: Mapping[Hashable, float],
    *,
    clusters: Mapping[Hashable, Hashable] | None = None,
    resamples: int = 9999,
    seed: int = 0,
) -> float:
    """Two-sided p of the difference of two runs, by swapping the runs question by question.

    All swaps are tried where at most 16 questions differ; otherwise ``resamples`` random ones, the observed one
    counted among them, so that p is never 0.

    Args:
        a: hits of one run by unit.
        b: hits of the other.
        clusters: the question of each unit, where several units ask one; by default each unit is its own.
        resamples: how many random swaps.
        seed: of the swaps.
    """
    shared = _shared(a, b)
    totals: dict[Hashable, float] = {}
    for unit in shared:
        question = clusters[unit] if clusters else unit
        totals[question] = totals.get(question, 0.0) + a[unit] - b[unit]
    differing = np.array([abs(total) for total in totals.values() if total])
    observed = abs(sum(totals.values()))
    close_enough = observed - 1e-9 * max(1.0, observed)
    if len(differing) <= EXACT_UP_TO:
        patterns = (np.arange(2 ** len(differing))[:, None] >> np.arange(len(differing))) & 1
        return float(np.mean(np.abs((1 - 2 * patterns) @ differing) >= close_enough)) if len(differing) else 1.0
    generator, beyond, left = np.random.default_rng(seed), 0, resamples
    while left:
        block = min(left, max(1, BLOCK // len(differing)))
        signs = 1 - 2 * generator.integers(0, 2, size=(block, len(differing)), dtype=np.int8)
        beyond += int(np.sum(np.abs(signs @ differing) >= close_enough))
        left -= block
    return (beyond + 1) / (resamples + 1)


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Holm's adjustment for asking several times: each p, made so large that "any below 0.05" errs in 5 % of cases.

    >>> holm({"ar": 0.01, "tr": 0.04, "ru": 0.03})
    {'ar': 0.03, 'tr': 0.06, 'ru': 0.06}
    """
    adjusted: dict[str, float] = {}
    largest = 0.0
    for place, name in enumerate(sorted(p_values, key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - place) * p_values[name]))
        adjusted[name] = largest
    return {name: adjusted[name] for name in p_values}


def erosion(
    english: Mapping[Hashable, float],
    other: Mapping[Hashable, float],
    *,
    clusters: Mapping[Hashable, Hashable] | None = None,
    resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> Erosion:
    """Accuracy in English minus accuracy in another language, on the same units, with its interval.

    Args:
        english: hits by unit.
        other: hits by unit in the other language.
        clusters: the question of each unit, where several units ask one; by default each unit is its own.
        resamples: how often the questions are drawn again.
        level: the share of resamples inside the interval.
        seed: of the draws.
    """
    units = _shared(english, other)
    questions = [clusters[unit] for unit in units] if clusters else units
    lost = [english[unit] - other[unit] for unit in units]
    interval = clustered_interval(lost, questions, resamples=resamples, level=level, seed=seed)
    return Erosion(interval, len(set(questions)))


def flips(a: Mapping[Hashable, float], b: Mapping[Hashable, float]) -> Flips:
    """Count the questions that are right in one condition only (two languages, two runs, two option orders)."""
    shared = _shared(a, b)
    lost = sum(1 for q in shared if a[q] > b[q])
    gained = sum(1 for q in shared if a[q] < b[q])
    return Flips((lost + gained) / len(shared), lost, gained, len(shared))


def position_bias(choices: Iterable[tuple[str | None, str]]) -> PositionBias:
    """Compare the letters a model chooses with the letters that are right.

    Meant for circular passes, where each question's right answer visits every letter: there, favouring a letter is
    the model's doing and not the file's.

    Args:
        choices: the choice and the right letter of each row. Refusals and choices not found are counted, and left
            out of the shares.
    """
    rows = list(choices)
    found = [(choice, answer) for choice, answer in rows if choice is not None and choice != "Z"]
    letters = sorted({letter for row in found for letter in row} | {answer for _, answer in rows})
    chosen = _shares(Counter(choice for choice, _ in found), letters)
    keyed = _shares(Counter(answer for _, answer in found), letters)
    accuracy = {
        letter: fmean(choice == letter for choice, answer in rows if answer == letter)
        for letter in letters
        if any(answer == letter for _, answer in rows)
    }
    return PositionBias(
        chosen,
        keyed,
        accuracy,
        sum(abs(chosen[letter] - keyed[letter]) for letter in letters) / 2,
        pstdev(accuracy.values()) if accuracy else 0.0,
        len(rows) - len(found),
    )


def _by_cluster(hits: Sequence[float], clusters: Sequence[Hashable]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sum and size of each cluster (Q,), (Q,)."""
    if len(hits) != len(clusters) or not hits:
        raise ValueError(f"one cluster a hit, and at least one: got {len(hits)} hits and {len(clusters)} clusters")
    totals: dict[Hashable, float] = {}
    sizes: dict[Hashable, float] = {}
    for hit, cluster in zip(hits, clusters, strict=True):
        totals[cluster] = totals.get(cluster, 0.0) + hit
        sizes[cluster] = sizes.get(cluster, 0.0) + 1.0
    return np.array(list(totals.values())), np.array(list(sizes.values()))


def _resampled(values: NDArray[np.float64], resamples: int, seed: int) -> NDArray[np.float64]:
    """Sums (R,) over as many questions as there are, drawn with replacement; one seed draws the same questions."""
    generator, questions = np.random.default_rng(seed), len(values)
    sums: list[NDArray[np.float64]] = []
    left = resamples
    while left:
        block = min(left, max(1, BLOCK // questions))
        sums.append(values[generator.integers(0, questions, size=(block, questions))].sum(axis=1))
        left -= block
    return np.concatenate(sums)


def _interval(estimate: float, resampled: NDArray[np.float64], level: float) -> Interval:
    if not 0 < level < 1:
        raise ValueError(f"an interval's level lies between 0 and 1, not {level}")
    low, high = np.quantile(resampled, [(1 - level) / 2, (1 + level) / 2])
    return Interval(estimate, float(low), float(high), level)


def _shared(a: Mapping[Hashable, float], b: Mapping[Hashable, float]) -> list[Hashable]:
    shared = [unit for unit in a if unit in b]
    if not shared:
        raise ValueError(f"the two runs share no unit: {len(a)} and {len(b)} units")
    return shared


def _shares(counts: Mapping[str | None, int], letters: Sequence[str]) -> dict[str, float]:
    total = sum(counts.values())
    return {letter: counts.get(letter, 0) / total if total else 0.0 for letter in letters}
