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
from support.tiers import late_unless

from parrot_adapters.evaluation import (
    Flips,
    McNemar,
    erosion,
    flips,
    mcnemar,
    paired_permutation,
    position_bias,
)
from parrot_adapters.statistics import (
    Interval,
    clustered_difference,
    clustered_interval,
    crossed_interval,
    holm,
    macro_interval,
    seed_interval,
    sign_flip_probability,
)

HITS = st.lists(st.booleans(), min_size=1, max_size=10)


# -- bootstrap -------------------------------------------------------------------------------------------------------


def check_the_interval_is_of_clusters(interval: Callable[..., Interval]) -> None:
    """Six languages that only repeat each other are as unsure as one."""
    hits = [1, 0, 1, 1, 0, 1, 1, 0, 1, 1] * 3
    once = interval(hits, range(30), resamples=4000)
    repeated = interval(hits * 6, list(range(30)) * 6, resamples=4000)
    assert repeated.estimate == pytest.approx(once.estimate) == 0.7
    assert repeated.low == pytest.approx(once.low, abs=1e-9)
    assert repeated.high == pytest.approx(once.high, abs=1e-9)


def test_the_interval_is_of_clusters() -> None:
    check_the_interval_is_of_clusters(clustered_interval)


def test_the_check_of_clusters_bites() -> None:
    with pytest.raises(AssertionError):  # rows, not clusters
        check_the_interval_is_of_clusters(
            lambda hits, clusters, **how: clustered_interval(hits, range(len(hits)), **how)
        )


def test_the_error_is_that_of_a_sample() -> None:
    """Of few clusters the plain bootstrap's is too small, by the root of (n - 1) / n."""
    values = [0.1, 0.9, 0.4, 0.6, 0.3, 0.8, 0.5, 0.2]
    found = clustered_interval(values, range(8), resamples=40_000)
    whole = np.array([*values, 0, 0, 1, 1])  # with the imagined ones
    half = 2.20099 * whole.std(ddof=1) / math.sqrt(12)  # Student's t of eleven degrees
    assert (found.high - found.low) / 2 == pytest.approx(half, rel=0.015)


def test_clusters_make_no_interval_narrower_than_independent_rows() -> None:
    """Questions of which always one pass in two is right would seem certain."""
    hits = [1, 0] * 20
    paired = clustered_interval(hits, [row // 2 for row in range(40)])
    apart = clustered_interval(hits, range(40))
    assert paired.high - paired.low > 0.95 * (apart.high - apart.low)


def test_a_higher_level_is_wider() -> None:
    narrow, wide = (clustered_interval([1, 0, 1, 1] * 20, range(80), level=level) for level in (0.8, 0.99))
    assert wide.low < narrow.low < narrow.high < wide.high


@pytest.mark.parametrize(("right", "of"), [(0, 1), (0, 10), (2, 2), (10, 10), (200, 200), (0, 500)])
def test_nothing_is_certain_at_the_edges(right: int, of: int) -> None:
    """What is never seen in n questions may still be there in one of n / 3 (Hanley and Lippman-Hand 1983)."""
    found = clustered_interval([1] * right + [0] * (of - right), range(of))
    assert (found.low, found.high) == ((0, found.high) if not right else (found.low, 1))
    assert found.high - found.low > min(1 / 2, 3 / of)
    assert found.high - found.low < 5 / (of + 4) + 0.3 / of


def beta_hits(generator: np.random.Generator, questions: int, share: float, rows: int, alike: float) -> np.ndarray:
    """(questions, rows) of 0 and 1; rows of a question correlate by ``alike``."""
    if not alike:
        chances = np.full(questions, share)
    else:
        chances = generator.beta(share * (1 - alike) / alike, (1 - share) * (1 - alike) / alike, questions)
    return (generator.random((questions, rows)) < chances[:, None]).astype(float)


def coverage(questions: int, share: float, rows: int, alike: float, interval: Callable[..., Interval]) -> float:
    inside, clusters = 0, np.repeat(np.arange(questions), rows).tolist()
    for seed in range(400):
        hits = beta_hits(np.random.default_rng(seed), questions, share, rows, alike)
        found = interval(hits.ravel().tolist(), clusters, resamples=200)
        inside += found.low - 1e-9 <= share <= found.high + 1e-9
    return inside / 400


@pytest.mark.parametrize(
    ("questions", "share", "rows", "alike"),
    late_unless(
        [(20, 0.0277, 1, 0), (100, 0.98, 1, 0), (20, 0.5, 1, 0), (30, 0.05, 6, 0.7)],
        [
            (20, 0.02, 1, 0), (20, 0.0277, 1, 0), (30, 0.95, 1, 0), (100, 0.98, 1, 0), (20, 0.5, 1, 0),
            (20, 0.07, 6, 0.5), (30, 0.05, 6, 0.7), (100, 0.0277, 6, 0.0),
        ],
    ),
)  # fmt: skip
@pytest.mark.few(3)
def test_intervals_hold_the_truth_as_often_as_they_say(questions: int, share: float, rows: int, alike: float) -> None:
    assert coverage(questions, share, rows, alike, clustered_interval) >= 0.93


def percentiles(hits: list[float], clusters: list[int], resamples: int) -> Interval:
    """The plain percentile bootstrap over clusters."""
    by_question = np.array(hits).reshape(max(clusters) + 1, -1).mean(1)
    drawn = np.random.default_rng(0).integers(0, len(by_question), (resamples, len(by_question)))
    low, high = np.quantile(by_question[drawn].mean(1), [0.025, 0.975])
    return Interval(float(by_question.mean()), float(low), float(high))


@pytest.mark.parametrize(("questions", "share"), [(30, 0.95), (100, 0.98)])
def test_the_coverage_test_bites(questions: int, share: float) -> None:
    """The double: percentiles of resamples, which collapse at the edge."""
    assert coverage(questions, share, 1, 0, percentiles) < 0.9


@pytest.mark.parametrize("value", [7, -1, 1.5, math.nan])
def test_shares_lie_between_0_and_1(value: float) -> None:
    with pytest.raises(ValueError, match="values lie between 0 and 1"):
        clustered_interval([1, value, 0], [1, 2, 3])


def test_differences_may_be_negative_and_are_never_certain() -> None:
    equal = clustered_difference([0] * 20, range(20))
    assert equal.estimate == 0
    assert -0.2 < equal.low < -0.02
    assert 0.02 < equal.high < 0.2
    lost = clustered_difference([-1] * 10 + [0] * 10, range(20))
    assert (lost.estimate, lost.high < 0, lost.excludes_zero) == (-0.5, True, True)
    with pytest.raises(ValueError, match="values lie between -1 and 1"):
        clustered_difference([2], [1])


@pytest.mark.parametrize(("seeds", "quantile"), [(2, 12.706), (3, 4.303), (10, 2.262), (11, 2.228), (31, 2.042)])
def test_intervals_over_seeds_are_students(seeds: int, quantile: float) -> None:
    values = np.random.default_rng(seeds).normal(size=seeds)
    found = seed_interval(values)
    error = values.std(ddof=1) / math.sqrt(seeds)
    assert (found.high - found.low) / 2 / error == pytest.approx(quantile, abs=1e-3)
    assert found.estimate == pytest.approx(values.mean())


def test_seeds_and_questions_are_drawn_apart() -> None:
    """Seeds that differ widen an interval which questions alone leave narrow, and the other way round."""
    generator = np.random.default_rng(0)
    noise = generator.normal(0, 0.01, (5, 40))
    by_seed = crossed_interval(noise + np.linspace(0, 1, 5)[:, None])
    by_question = crossed_interval(noise + np.linspace(0, 1, 40)[None])
    assert by_seed.high - by_seed.low > 3 * (crossed_interval(noise).high - crossed_interval(noise).low)
    assert by_question.high - by_question.low == pytest.approx(2 * 1.96 * 0.29 / math.sqrt(40), rel=0.15)
    assert by_seed.high - by_seed.low > 2 * (by_question.high - by_question.low)
    one_seed = crossed_interval(noise[:1] + np.linspace(0, 1, 40)[None])
    assert one_seed.high - one_seed.low == pytest.approx(by_question.high - by_question.low, rel=0.2)
    assert math.isinf(crossed_interval(np.ones((1, 1))).high)
    assert math.isnan(crossed_interval(np.ones((0, 4))).estimate)


def test_one_seed_says_nothing_of_others() -> None:
    assert seed_interval([0.3]) == Interval(0.3, -math.inf, math.inf)
    assert math.isnan(seed_interval([]).estimate)


def test_the_pooled_test_is_right_about_chance() -> None:
    """Two alike runs in six languages: whole questions swapped, p below 0.05 in 5 %; units swapped, far more often."""
    by_question = by_unit = 0
    questions = np.repeat(np.arange(40), 6)
    for seed in range(200):
        generator = np.random.default_rng(seed)
        differences = (beta_hits(generator, 40, 0.5, 6, 0.8) - beta_hits(generator, 40, 0.5, 6, 0.8)).ravel()
        by_question += sign_flip_probability(differences, questions.tolist(), resamples=499) < 0.05
        by_unit += sign_flip_probability(differences, resamples=499) < 0.05
    assert by_question <= 20
    assert by_unit >= 30, "the double: units taken for independent"


def test_the_interval_of_independent_rows_is_the_normal_one() -> None:
    hits = [1] * 300 + [0] * 100
    found = clustered_interval(hits, range(400), resamples=4000)
    half = 1.96 * math.sqrt(0.75 * 0.25 / 400)
    assert found.low == pytest.approx(0.75 - half, abs=0.006)
    assert found.high == pytest.approx(0.75 + half, abs=0.006)


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
    monkeypatch.setattr("parrot_adapters.statistics.BLOCK", 12)
    assert clustered_interval([1, 0, 1, 1], [1, 2, 3, 4], resamples=100) == whole


@pytest.mark.parametrize(("hits", "clusters"), [([], []), ([1], [1, 2])])
def test_hits_and_clusters_go_together(hits: list[int], clusters: list[int]) -> None:
    with pytest.raises(ValueError, match="one cluster a value"):
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
    assert mcnemar(a, b) == McNemar(6000, 6000, 1.0)
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


def test_holm_never_calls_the_larger_of_two_the_surer() -> None:
    assert holm({"ar": 0.01, "tr": 0.04, "ru": 0.03}) == pytest.approx({"ar": 0.03, "tr": 0.06, "ru": 0.06})
    assert holm({"ar": 0.9, "tr": 0.5}) == {"ar": 1.0, "tr": 1.0}


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


def test_sixteen_differences_are_enumerated_too() -> None:
    assert sign_flip_probability([1.0] * 16) == 2 / 2**16


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
    assert found.estimate == 0.25
    assert found.low < 0 < found.high
    assert erosion(arabic, english).estimate == -0.25


def test_erosion_is_paired() -> None:
    """The double: intervals of two unpaired accuracies would overlap; every question lost is certain."""
    english = {q: q % 2 for q in range(200)}
    other = {q: int(q % 2 and q % 20 != 1) for q in range(200)}
    paired = erosion(english, other)
    assert paired.estimate == 0.05
    assert paired.low > 0
    apart = [clustered_interval(list(hits.values()), list(hits)) for hits in (english, other)]
    assert apart[1].high > apart[0].low


def test_flips_are_counted_both_ways_on_what_both_have() -> None:
    assert flips({1: 1, 2: 1, 3: 0, 4: 0, 6: 1}, {1: 1, 2: 0, 3: 1, 4: 0, 5: 1}) == Flips(0.5, 1, 1, 4)


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
    apart = macro_interval({"a": (hits, questions), "b": (hits, [q + 10 for q in questions])})
    assert apart.estimate == one.estimate
    assert apart.high - apart.low < one.high - one.low


def test_the_macro_interval_weighs_languages_alike() -> None:
    found = macro_interval({"long": ([1] * 90, list(range(90))), "short": ([0], [90])}, resamples=500)
    assert found.estimate == 0.5
    assert found.low < 0.5 < found.high
    pooled = clustered_interval([1] * 90 + [0], list(range(91)))
    assert pooled.estimate == pytest.approx(90 / 91)


def test_erosion_clusters_the_passes_of_a_question() -> None:
    english = {q + p * 100: int(q < 6) for q in range(10) for p in range(5)}
    other = {q + p * 100: int(q < 4) for q in range(10) for p in range(5)}
    clusters = {unit: unit % 100 for unit in english}
    together, apart = erosion(english, other, clusters=clusters), erosion(english, other)
    assert (together.questions, apart.questions) == (10, 50)
    assert together.estimate == apart.estimate == pytest.approx(0.2)
    assert together.low < apart.low


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_no_number_is_no_difference_and_no_probability(value: float) -> None:
    from parrot_adapters.statistics import holm, sign_flip_probability

    with pytest.raises(ValueError, match="differences are finite"):
        sign_flip_probability([1.0, value, 1.0])
    with pytest.raises(ValueError, match="between 0 and 1, not at"):
        holm({"a": 0.01, "b": value})
