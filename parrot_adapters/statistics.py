"""How sure is a mean, and do two conditions differ? One module for the library and the recipes.

Questions of a benchmark are asked in several languages, in several orders, of several seeds: rows are not independent,
questions are. So whoever has such rows says which question (*cluster*) each belongs to, and everything here draws, or
swaps, whole questions.

``Q`` clusters, ``R`` resamples, ``G`` groups. Resampling, permutation, exact tests and quantiles are scipy's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Interval",
    "clustered_difference",
    "clustered_interval",
    "crossed_interval",
    "holm",
    "macro_difference",
    "macro_interval",
    "mcnemar_probability",
    "seed_interval",
    "sign_flip_probability",
    "t_quantile",
]

BLOCK = 2**22
"""Numbers held at once while resampling: 32 MB."""
EXACT_UP_TO = 16
"""Clusters that differ, up to which all sign patterns are tried."""
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """An estimate and the ends of its interval.

    Attributes:
        estimate: Mean of what was measured.
        low: Lower end.
        high: Upper end.
        level: Share of repetitions in which such an interval holds the truth.
    """

    estimate: float
    low: float
    high: float
    level: float = 0.95

    @property
    def excludes_zero(self) -> bool:
        """Whether zero lies outside."""
        return self.low > 0 or self.high < 0


# --- intervals of means over clusters -------------------------------------------------------------------------------


def clustered_interval(
    values: Sequence[float], clusters: Sequence[Hashable], *, resamples: int = 2000, level: float = 0.95, seed: int = 0
) -> Interval:
    """Return the mean of shares between 0 and 1 with an interval that is honest at the edges too.

    Two imagined clusters of zeros and two of ones are added (Agresti and Coull 1998), the smaller the more the
    rows of one cluster differ; the standard error of that mean is the bootstrap's over whole clusters, and no smaller
    than of independent rows; its quantile is Student's t. So the interval of 0 of 10 has a width, and intervals hold
    the truth as often as they say (simulated: 93.9 % or more from 20 clusters of 1 to 6 rows on, at 2 to 98 %).

    Args:
        values: One number of 0 to 1 for each row, usually 0 or 1.
        clusters: The question of each row: the same in every language and circular pass.
        resamples: How often the questions are drawn again.
        level: Share of repetitions in which the interval is to hold the truth.
        seed: Seed of the random draws; one seed gives one interval.

    Raises:
        ValueError: A value lies outside 0 to 1, there are none, or their numbers differ.
    """
    return macro_interval({"": (values, clusters)}, resamples=resamples, level=level, seed=seed)


def macro_interval(
    groups: Mapping[str, tuple[Sequence[float], Sequence[Hashable]]],
    *,
    resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Return the plain mean of several groups' means (languages); one draw of the questions serves all groups.

    Args:
        groups: Values and clusters of each group, as :func:`clustered_interval` takes them.
        resamples: How often the questions are drawn again.
        level: Share of repetitions in which the interval is to hold the truth.
        seed: Seed of the random draws.

    Raises:
        ValueError: As :func:`clustered_interval`.
    """
    return _Clustered(groups, 0.0, 1.0, imagined=2).interval(resamples, level, seed)


def clustered_difference(
    values: Sequence[float], clusters: Sequence[Hashable], *, resamples: int = 2000, level: float = 0.95, seed: int = 0
) -> Interval:
    """Return the mean of paired differences between -1 and 1 with its interval.

    As :func:`clustered_interval`, with one imagined cluster of -1 and one of 1 (Bonett and Price 2012): two runs that
    agree on every question of a small benchmark may still differ.

    Args:
        values: One difference for each row.
        clusters: The question of each row.
        resamples: How often the questions are drawn again.
        level: Share of repetitions in which the interval is to hold the truth.
        seed: Seed of the random draws.

    Raises:
        ValueError: A value lies outside -1 to 1, there are none, or their numbers differ.
    """
    return macro_difference({"": (values, clusters)}, resamples=resamples, level=level, seed=seed)


def macro_difference(
    groups: Mapping[str, tuple[Sequence[float], Sequence[Hashable]]],
    *,
    resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Return the plain mean of several groups' mean differences, as :func:`macro_interval` does for shares.

    Args:
        groups: Differences and clusters of each group.
        resamples: How often the questions are drawn again.
        level: Share of repetitions in which the interval is to hold the truth.
        seed: Seed of the random draws.

    Raises:
        ValueError: As :func:`clustered_difference`.
    """
    return _Clustered(groups, -1.0, 1.0, imagined=1).interval(resamples, level, seed)


class _Clustered:
    """Sums and sizes of clusters by group (G, Q), with imagined clusters at both bounds behind them."""

    def __init__(
        self,
        groups: Mapping[str, tuple[Sequence[float], Sequence[Hashable]]],
        least: float,
        most: float,
        *,
        imagined: int,
    ) -> None:
        self.least, self.most = least, most
        places: dict[Hashable, int] = {}
        for values, clusters in groups.values():
            _check(values, clusters, least, most)
            for cluster in clusters:
                places.setdefault(cluster, len(places))
        self.clusters = len(places) + 2 * imagined
        self.totals = np.zeros((len(groups), self.clusters))
        self.sizes = np.zeros((len(groups), self.clusters))
        means = []
        self.row_variance = 0.0  # of the estimate, were all rows independent: clusters can only say less
        for group, (values, clusters) in enumerate(groups.values()):
            rows, found = [places[cluster] for cluster in clusters], np.asarray(values, float)
            totals, sizes = self.totals[group], self.sizes[group]
            np.add.at(totals, rows, found)
            np.add.at(sizes, rows, 1.0)
            means.append(found.mean())
            size = _imagined_size(found, totals[sizes > 0], sizes[sizes > 0])
            sizes[len(places) :] = size
            totals[len(places) :] = size * np.repeat([least, most], imagined)
            squares = found @ found + imagined * size * (least**2 + most**2)
            spread = squares / sizes.sum() - (totals.sum() / sizes.sum()) ** 2
            self.row_variance += float(spread / sizes.sum()) / len(groups) ** 2
        self.estimate = float(np.mean(means))

    def mean(self, drawn: NDArray[np.intp], axis: int = -1) -> Floats:
        """Mean over groups of the means over drawn clusters; a group of which none was drawn is left out."""
        totals, sizes = self.totals[:, drawn].sum(axis), self.sizes[:, drawn].sum(axis)  # (G, R)
        held = sizes > 0
        means = np.divide(totals, sizes, out=np.zeros_like(totals), where=held)
        return np.asarray(means.sum(0) / np.maximum(1, held.sum(0)))

    def interval(self, resamples: int, level: float, seed: int) -> Interval:
        if not 0 < level < 1:
            raise ValueError(f"an interval's level lies between 0 and 1, not {level}")
        error = _standard_error(self.mean, self.clusters, len(self.totals), resamples, seed)
        error = max(error, math.sqrt(self.row_variance))
        centre = float(self.mean(np.arange(self.clusters)))
        half = t_quantile(self.clusters - 1, level) * error
        low, high = max(self.least, centre - half), min(self.most, centre + half)
        return Interval(self.estimate, min(low, self.estimate), max(high, self.estimate), level)


def _imagined_size(values: Floats, totals: Floats, sizes: Floats) -> float:
    """Rows of an imagined cluster: between one cluster's rows and as many as say what one independent row says.

    The latter (Kish's design effect) is estimated from few rows near 0 and 1, so it is taken half-way, by the geometric
    mean: without clusters' size in it intervals are too narrow where rows repeat each other, with nothing else too
    wide, and off their place, where they do not.

    Args:
        values: Of all rows.
        totals: Sums of the Q clusters.
        sizes: Rows of the Q clusters.
    """
    rows, clusters, typical = len(values), len(sizes), float(sizes.mean())
    spread = float(values.var())
    if clusters < 2 or not spread:  # nothing tells rows of one cluster apart
        return typical
    residuals = totals - values.mean() * sizes
    effect = float(residuals @ residuals) * clusters / (clusters - 1) / (rows * spread)
    return math.sqrt(typical * min(typical, max(1.0, effect)))


def _check(values: Sequence[float], clusters: Sequence[Hashable], least: float, most: float) -> None:
    if len(values) != len(clusters) or not len(values):
        raise ValueError(f"one cluster a value, and at least one: got {len(values)} values, {len(clusters)} clusters")
    if wrong := [value for value in values if not least - 1e-9 <= value <= most + 1e-9]:
        raise ValueError(f"values lie between {least:g} and {most:g}, not at {wrong[0]!r} ({len(wrong)} such)")


def _standard_error(statistic: Callable[..., Floats], clusters: int, groups: int, resamples: int, seed: int) -> float:
    """The bootstrap's, of a statistic of drawn cluster numbers, corrected for drawing from the sample itself."""
    from scipy.stats import bootstrap  # seconds to import: only where something is estimated

    drawn = bootstrap(
        (np.arange(clusters),),
        statistic,
        n_resamples=resamples,
        batch=max(1, BLOCK // (clusters * groups)),
        vectorized=True,
        method="percentile",
        rng=np.random.default_rng(seed),
    )
    return float(drawn.standard_error) * math.sqrt(clusters / (clusters - 1))


# --- a handful of seeds ---------------------------------------------------------------------------------------------


def t_quantile(degrees: int, level: float = 0.95) -> float:
    """Return the two-sided quantile of Student's t: the factor of a standard error.

    Args:
        degrees: Degrees of freedom.
        level: Share inside.

    >>> round(t_quantile(10), 3)
    2.228
    """
    from scipy.special import stdtrit

    return float(stdtrit(degrees, (1 + level) / 2))


def seed_interval(values: Sequence[float] | Floats, *, level: float = 0.95) -> Interval:
    """Return the mean over seeds with Student's t interval: what other seeds would give; infinite with one seed.

    Args:
        values: One number a seed; NaN with NaN ends where there are none.
        level: Share of repetitions in which the interval is to hold the truth.
    """
    found = np.asarray(values, float)
    if not found.size:
        return Interval(math.nan, math.nan, math.nan, level)
    mean, degrees = float(found.mean()), found.size - 1
    if not degrees:
        return Interval(mean, -math.inf, math.inf, level)
    half = t_quantile(degrees, level) * float(found.std(ddof=1)) / math.sqrt(found.size)
    return Interval(mean, mean - half, mean + half, level)


def crossed_interval(values: Floats, *, resamples: int = 2000, level: float = 0.95, seed: int = 0) -> Interval:
    """Return the mean of a table with the interval of what other seeds *and* other questions would give.

    Rows and columns are drawn again, each for themselves (Owen 2007: such an interval is rather too wide than too
    narrow). Of one seed the interval is over questions alone, of one question over seeds alone.

    Args:
        values: Measurements, (T, Q): T seeds, each asked the same Q questions. NaN, with NaN as both ends, where it is
            empty.
        resamples: How often both are drawn again.
        level: Share of repetitions in which the interval is to hold the truth.
        seed: Seed of the random draws.
    """
    if not values.size:
        return Interval(math.nan, math.nan, math.nan, level)
    mean, drawable = float(values.mean()), [axis for axis in (0, 1) if values.shape[axis] > 1]
    if not drawable:
        return Interval(mean, -math.inf, math.inf, level)
    from scipy.stats import bootstrap

    def drawn(*numbers: NDArray[np.intp], axis: int = -1) -> Floats:
        held = {0: np.zeros(1, int), 1: np.zeros(1, int)} | dict(zip(drawable, numbers, strict=True))
        return np.asarray(values[held[0][..., :, None], held[1][..., None, :]].mean((-2, -1)))

    found = bootstrap(
        tuple(np.arange(values.shape[axis]) for axis in drawable),
        drawn,
        n_resamples=resamples,
        batch=max(1, BLOCK // values.size),
        vectorized=True,
        method="percentile",
        confidence_level=level,
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return Interval(mean, min(mean, float(found.low)), max(mean, float(found.high)), level)


# --- tests ----------------------------------------------------------------------------------------------------------


def sign_flip_probability(
    differences: Sequence[float] | Floats,
    clusters: Sequence[Hashable] | None = None,
    *,
    resamples: int = 9999,
    seed: int = 0,
) -> float:
    """Return the two-sided p of paired differences, by swapping the two conditions question by question.

    All swaps are tried where at most 16 questions differ; otherwise ``resamples`` random ones, the observed one counted
    among them, so that p is never 0 (Fisher 1935; scipy's permutation test).

    Args:
        differences: One a row; 1 where there are none, or all are zero.
        clusters: The question of each row, where several rows ask one; by default each row is its own.
        resamples: How many random swaps.
        seed: Seed of the random swaps.

    Raises:
        ValueError: A difference is not a finite number.
    """
    if wrong := [value for value in differences if not math.isfinite(value)]:
        raise ValueError(f"differences are finite numbers, not {wrong[0]!r} ({len(wrong)} such)")
    totals: dict[Hashable, float] = {}
    for cluster, value in zip(range(len(differences)) if clusters is None else clusters, differences, strict=True):
        totals[cluster] = totals.get(cluster, 0.0) + float(value)
    differing = np.array([total for total in totals.values() if abs(total) > 1e-12])
    if differing.size < 2:  # swapping one question alone turns the sign, and no more
        return 1.0
    from scipy.stats import permutation_test

    exact = differing.size <= EXACT_UP_TO
    return float(
        permutation_test(
            (differing,),
            _distance,
            alternative="greater",
            permutation_type="samples",  # of one sample: its signs are flipped
            vectorized=True,
            n_resamples=2**EXACT_UP_TO if exact else resamples,
            batch=max(1, BLOCK // differing.size),
            rng=np.random.default_rng(seed),
        ).pvalue
    )


def _distance(values: Floats, axis: int) -> Any:
    # Rounded, so that sums that differ by the order of their terms alone are ties.
    return np.round(np.abs(values.sum(axis=axis)), 9)


def mcnemar_probability(only_a: int, only_b: int) -> float:
    """Return the two-sided exact p of McNemar's test: of independent units that one run alone has right, is the split
    even?

    Args:
        only_a: Units that only the first run has right.
        only_b: Units that only the second has right.

    >>> mcnemar_probability(3, 7)
    0.34375
    """
    from scipy.stats import binomtest

    return float(binomtest(only_a, only_a + only_b).pvalue) if only_a + only_b else 1.0


def holm(probabilities: Mapping[str, float]) -> dict[str, float]:
    """Return p values adjusted for being several (Holm 1979): each so large that "any below 0.05" errs in 5 % of cases.

    Args:
        probabilities: Probability p of each test by its name.

    Raises:
        ValueError: One lies outside 0 to 1.

    >>> holm({"ar": 0.01, "tr": 0.04, "ru": 0.03})
    {'ar': 0.03, 'tr': 0.06, 'ru': 0.06}
    """
    # Written out: scipy has no Holm, and statsmodels brings pandas and three seconds of imports for these five lines.
    if wrong := [name for name, p in probabilities.items() if not 0 <= p <= 1]:
        raise ValueError(f"a probability lies between 0 and 1, not at {probabilities[wrong[0]]!r} ({wrong[0]})")
    adjusted: dict[str, float] = {}
    largest = 0.0
    for place, name in enumerate(sorted(probabilities, key=probabilities.__getitem__)):
        largest = max(largest, min(1.0, (len(probabilities) - place) * probabilities[name]))
        adjusted[name] = largest
    return {name: adjusted[name] for name in probabilities}
