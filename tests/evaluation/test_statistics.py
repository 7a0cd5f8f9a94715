"""Statistics against slow references: plain loops, enumerations, closed forms."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parrot_adapters.evaluation.scores.intervals_and_tests import (
    Interval,
    clustered_interval,
    erosion,
    flips,
    holm,
    macro_interval,
    mcnemar,
    paired_permutation,
    position_bias,
)

HITS = st.lists(st.booleans(), min_size=1, max_size=10)


# -- bootstrap -------------------------------------------------------------------------------------------------------


def every_resample(hits: list[float], clusters: list[int]) -> list[float]:
    """The mean of each of the Q**Q ordered ways to draw the clusters again."""
    groups = [[h for h, c in zip(hits, clusters, strict=True) if c == cluster] for cluster in dict.fromkeys(clusters)]
    drawn = itertools.product(groups, repeat=len(groups))
    return [np.mean([h for group in draw for h in group]) for draw in drawn]


def check_interval_is_clustered(interval: Callable[..., Interval]) -> None:
    hits = [1, 1, 1, 1, 0, 0, 1, 0]
    clusters = [1, 1, 1, 1, 2, 2, 3, 4]
    exact = every_resample(hits, clusters)
    found = interval(hits, clusters, resamples=20000, level=0.8)
    assert found.estimate == np.mean(hits)
    assert found.low == pytest.approx(np.quantile(exact, 0.1), abs=0.02)
    assert found.high == pytest.approx(np.quantile(exact, 0.9), abs=0.02)


def test_the_interval_resamples_clusters() -> None:
    check_interval_is_clustered(clustered_interval)


@pytest.mark.parametrize(
    "broken",
    [
        lambda hits, clusters, **how: clustered_interval(hits, range(len(hits)), **how),  # rows, not clusters
        lambda hits, clusters, **how: clustered_interval(hits, clusters, **how | {"level": 0.99}),
    ],
)
def test_the_check_of_clusters_bites(broken: Callable[..., Interval]) -> None:
    with pytest.raises(AssertionError):
        check_interval_is_clustered(broken)


def test_the_interval_of_independent_rows_is_the_normal_one() -> None:
    hits = [1] * 300 + [0] * 100
    found = clustered_interval(hits, range(400), resamples=4000)
    half = 1.96 * math.sqrt(0.75 * 0.25 / 400)
    assert found.low == pytest.approx(0.75 - half, abs=0.006)
    assert found.high == pytest.approx(0.75 + half, abs=0.006)


def test_copies_of_a_row_tell_nothing_new() -> None:
    hits = [1, 0, 1, 1, 0, 1, 0, 1]
    once = clustered_interval(hits, range(8))
    six_times = clustered_interval(hits * 6, list(range(8)) * 6)
    assert once == six_times


@settings(deadline=None, max_examples=50)
@given(HITS, st.integers(0, 5))
def test_the_interval_holds_the_estimate_and_is_reproducible(hits: list[bool], seed: int) -> None:
    clusters = [i // 2 for i in range(len(hits))]
    found = clustered_interval(hits, clusters, resamples=50, seed=seed)
    assert 0 <= found.low <= found.high <= 1
    assert found == clustered_interval(hits, clusters, resamples=50, seed=seed)
    assert found.estimate == sum(hits) / len(hits)


def test_more_draws_than_fit_in_a_block(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = clustered_interval([1, 0, 1, 1], [1, 2, 3, 4], resamples=100)
    monkeypatch.setattr("parrot_adapters.evaluation.scores.intervals_and_tests.BLOCK", 12)
    assert clustered_interval([1, 0, 1, 1], [1, 2, 3, 4], resamples=100) == whole


@pytest.mark.parametrize(("hits", "clusters"), [([], []), ([1], [1, 2])])
def test_hits_and_clusters_go_together(hits: list[int], clusters: list[int]) -> None:
    with pytest.raises(ValueError, match="one cluster a hit"):
        clustered_interval(hits, clusters)


def test_a_level_is_a_share() -> None:
    with pytest.raises(ValueError, match="between 0 and 1, not 95"):
        clustered_interval([1], [1], level=95)


# -- McNemar ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("only_a", "only_b"), [(0, 0), (1, 0), (5, 5), (0, 8), (3, 12), (40, 60), (700, 800)])
def test_mcnemar_is_the_sign_test(only_a: int, only_b: int) -> None:
    a = {i: int(i < only_a or i >= only_a + only_b) for i in range(only_a + only_b + 10)}
    b = {i: int(i >= only_a) for i in a}
    n, k = only_a + only_b, min(only_a, only_b)
    p = min(Fraction(1), 2 * sum(Fraction(math.comb(n, i), 2**n) for i in range(k + 1)))
    found = mcnemar(a, b)
    assert (found.only_a, found.only_b) == (only_a, only_b)
    assert found.p == pytest.approx(float(p), rel=1e-12)


def test_mcnemar_of_a_full_benchmark() -> None:
    """Thousands of units, and numbers of thousands of digits."""
    a = {i: int(i % 2 == 0) for i in range(12000)}
    b = {i: 1 - hit for i, hit in a.items()}
    assert mcnemar(a, b) == (6000, 6000, 1.0)
    assert mcnemar(dict.fromkeys(a, 1), dict.fromkeys(a, 0)).p == 0.0  # 2 ** -11999, too small for a float


# -- several tests ----------------------------------------------------------------------------------------------------


@given(st.dictionaries(st.text(min_size=1, max_size=3), st.floats(0, 1), min_size=1, max_size=8))
def test_holm_rejects_what_its_step_down_procedure_rejects(p_values: dict[str, float]) -> None:
    adjusted = holm(p_values)
    assert list(adjusted) == list(p_values)
    assert all(p <= adjusted[name] <= 1 for name, p in p_values.items())
    for level in (0.01, 0.05, 0.3):
        rejected = set()
        for place, name in enumerate(sorted(p_values, key=p_values.__getitem__)):
            if (len(p_values) - place) * p_values[name] > level:
                break
            rejected.add(name)
        assert {name for name, p in adjusted.items() if p <= level} == rejected


def test_holm_of_one_is_itself() -> None:
    assert holm({"ar": 0.02}) == {"ar": 0.02}
    assert holm({}) == {}


# -- permutation -----------------------------------------------------------------------------------------------------


def slow_permutation(a: dict, b: dict, clusters: dict | None = None) -> float:
    """Every way to swap the two runs, one question at a time."""
    questions = sorted({(clusters or {u: u for u in a})[u] for u in a})
    observed = abs(sum(a[u] - b[u] for u in a))
    beyond = 0
    for swaps in itertools.product((1, -1), repeat=len(questions)):
        sign = dict(zip(questions, swaps, strict=True))
        beyond += abs(sum(sign[(clusters or {u: u for u in a})[u]] * (a[u] - b[u]) for u in a)) >= observed - 1e-12
    return beyond / 2 ** len(questions)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=9), st.integers(1, 3))
def test_few_differences_are_enumerated(pairs: list[tuple[bool, bool]], size: int) -> None:
    a = {i: int(pair[0]) for i, pair in enumerate(pairs)}
    b = {i: int(pair[1]) for i, pair in enumerate(pairs)}
    clusters = {i: i // size for i in a}
    assert paired_permutation(a, b, clusters=clusters) == pytest.approx(slow_permutation(a, b, clusters))


def test_many_differences_are_sampled() -> None:
    random.seed(0)
    a = {i: int(random.random() < 0.60) for i in range(400)}
    b = {i: int(random.random() < 0.55) for i in range(400)}
    exact = mcnemar(a, b).p  # unclustered hits: the permutation test is the sign test
    assert paired_permutation(a, b) == pytest.approx(exact, abs=0.02)
    assert paired_permutation(a, b) == paired_permutation(a, b)
    assert paired_permutation(dict.fromkeys(a, 1), dict.fromkeys(a, 0), resamples=99) == 0.01


def test_clusters_widen_the_test() -> None:
    """The double: six languages that only repeat each other are no evidence, and rows alone would call them so."""
    a = {(q, language): int(q < 9) for q in range(10) for language in range(6)}
    b = {(q, language): int(q >= 5) for q in range(10) for language in range(6)}
    by_row = paired_permutation(a, b)
    by_question = paired_permutation(a, b, clusters={unit: unit[0] for unit in a})
    assert by_row < 0.01 < 0.2 < by_question


def test_runs_without_a_common_unit_cannot_be_compared() -> None:
    for test in (mcnemar, paired_permutation, erosion, flips):
        with pytest.raises(ValueError, match="share no unit"):
            test({1: 1}, {2: 1})


# -- erosion, flips, position bias -----------------------------------------------------------------------------------


def test_erosion_is_a_difference_of_accuracies_on_shared_questions() -> None:
    english = {1: 1, 2: 1, 3: 1, 4: 0, 9: 1}
    arabic = {1: 1, 2: 0, 3: 0, 4: 1, 8: 1}
    found = erosion(english, arabic)
    assert found.questions == 4
    assert found.interval.estimate == 0.25
    assert found.interval.low < 0 < found.interval.high
    assert erosion(arabic, english).interval.estimate == -0.25


def test_erosion_is_paired() -> None:
    """The double: intervals of two unpaired accuracies would overlap; every question lost is certain."""
    english = {q: q % 2 for q in range(200)}
    other = {q: int(q % 2 and q % 20 != 1) for q in range(200)}
    paired = erosion(english, other).interval
    assert paired.estimate == 0.05
    assert paired.low > 0
    apart = [clustered_interval(list(hits.values()), list(hits)) for hits in (english, other)]
    assert apart[1].high > apart[0].low


def test_flips_are_counted_both_ways() -> None:
    assert flips({1: 1, 2: 1, 3: 0, 4: 0}, {1: 1, 2: 0, 3: 1, 4: 0, 5: 1}) == (0.5, 1, 1, 4)


def test_position_bias() -> None:
    answers = "ABCD" * 10
    fair = position_bias(zip(answers, answers, strict=True))
    assert (fair.distance, fair.spread, fair.not_found) == (0, 0, 0)
    always_a = position_bias(("A", answer) for answer in answers)
    assert always_a.chosen == {"A": 1, "B": 0, "C": 0, "D": 0}
    assert always_a.keyed == dict.fromkeys("ABCD", 0.25)
    assert always_a.distance == 0.75
    assert always_a.accuracy == {"A": 1, "B": 0, "C": 0, "D": 0}
    assert always_a.spread == pytest.approx(math.sqrt(3) / 4)
    silent = position_bias([(None, "A"), ("Z", "B")])
    assert (silent.not_found, silent.distance) == (2, 0)


def test_the_macro_interval_draws_each_question_for_all_languages() -> None:
    """Of two languages that always agree the mean is as unsure as one; resampled apart it would seem surer."""
    hits, questions = [1, 0, 1, 1, 0, 1, 1, 0, 1, 0], list(range(10))
    one = clustered_interval(hits, questions)
    assert macro_interval({"a": (hits, questions), "b": (hits, questions)}) == one
    opposite = macro_interval({"a": (hits, questions), "b": ([1 - hit for hit in hits], questions)})
    assert (opposite.estimate, opposite.low, opposite.high) == (0.5, 0.5, 0.5)


def test_the_macro_interval_weighs_languages_alike() -> None:
    found = macro_interval({"long": ([1] * 90, list(range(90))), "short": ([0], [90])}, resamples=500)
    assert found.estimate == 0.5
    # the short one's question is drawn in 63 % of the resamples; in the others the long one is alone
    assert (found.low, found.high) == (0.5, 1.0)


def test_erosion_clusters_the_passes_of_a_question() -> None:
    english = {q + p * 100: int(q < 6) for q in range(10) for p in range(5)}
    other = {q + p * 100: int(q < 4) for q in range(10) for p in range(5)}
    clusters = {unit: unit % 100 for unit in english}
    together, apart = erosion(english, other, clusters=clusters), erosion(english, other)
    assert (together.questions, apart.questions) == (10, 50)
    assert together.interval.estimate == apart.interval.estimate == pytest.approx(0.2)
    assert together.interval.low < apart.interval.low
