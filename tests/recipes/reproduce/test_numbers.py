"""The study's statistics on planted effects, and its rules on arms that break one rule each."""

from __future__ import annotations

import math

import numpy as np
import pytest
from parrot_recipes.reproduce import intervals
from parrot_recipes.reproduce.registration import TWO_BY_TWO, verdict

SEEDS, QUESTIONS = 3, 240


def planted(accuracy: float, seed: int = 0, languages: int = 5) -> np.ndarray:
    """(T, Q) means over languages of coin flips; a question is as hard for all seeds."""
    rng = np.random.default_rng(seed)
    hardness = rng.normal(0, 0.15, QUESTIONS)
    chance = np.clip(accuracy + hardness, 0, 1)[None, :, None]
    return (rng.random((SEEDS, QUESTIONS, languages)) < chance).mean(-1)


def test_a_planted_interaction_is_found():
    dense, mixture, guidance, both = (planted(a, seed) for seed, a in enumerate((0.40, 0.42, 0.50, 0.62)))
    found = intervals.interaction(dense, mixture, guidance, both)
    assert found.questions.low <= 0.10 <= found.questions.high
    assert found.questions.low > 0
    assert found.probability < 0.01
    assert len(found.seeds) == SEEDS


def test_effects_that_add_up_are_no_interaction():
    dense, mixture, guidance, both = (planted(a, seed) for seed, a in enumerate((0.40, 0.45, 0.50, 0.55)))
    found = intervals.interaction(dense, mixture, guidance, both)
    assert found.questions.low < 0 < found.questions.high
    assert found.probability > 0.05


def test_the_sign_of_the_interaction_is_the_registered_one():
    zero, one = np.zeros((1, 10)), np.ones((1, 10))
    assert intervals.interaction(zero, zero, zero, one).questions.value == 1
    assert intervals.interaction(zero, one, zero, zero).questions.value == -1
    assert intervals.interaction(one, one, one, one).questions.value == 0
    assert TWO_BY_TWO == {"no guidance": ("dense", "picture-only"), "guidance": ("single", "mixture")}


def test_pairing_narrows_the_interval():
    arm = planted(0.5)
    better = np.clip(arm + 0.05, 0, 1)
    paired = intervals.difference(better, arm).questions
    shuffled = intervals.difference(better, arm[:, np.random.default_rng(1).permutation(QUESTIONS)]).questions
    assert paired.high - paired.low < (shuffled.high - shuffled.low) / 3


@pytest.mark.parametrize("other", [np.zeros((2, 5)), np.zeros((3, 4)), np.zeros(5)])
def test_what_cannot_be_paired_is_refused(other):
    with pytest.raises(ValueError, match="cannot be paired"):
        intervals.difference(np.zeros((3, 5)), other)


def test_seeds_that_repeat_each_other_do_not_count_as_more_pictures():
    one = planted(0.5)[:1]
    thrice = intervals.over_questions(one.repeat(3, 0))
    once = intervals.over_questions(one)
    assert (thrice.low, thrice.high) == pytest.approx((once.low, once.high))
    # The mistake this guards against: every (seed, question) as a draw of its own would be narrower by sqrt(3).
    mistaken = intervals.over_clusters(one.repeat(3, 0).ravel())
    assert mistaken.high - mistaken.low < 0.7 * (once.high - once.low)


def test_the_interval_over_questions_covers_as_often_as_it_says():
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(300):
        estimate = intervals.over_clusters(rng.normal(0.3, 1, 100))
        hits += estimate.low <= 0.3 <= estimate.high
    assert 0.91 < hits / 300 < 0.98


def test_three_seeds_are_few():
    estimate = intervals.over_seeds([1.0, 2.0, 3.0])
    assert (estimate.value, estimate.high - estimate.value) == pytest.approx((2.0, 4.303 / math.sqrt(3)), abs=1e-3)
    alone = intervals.difference(np.ones((1, 4)), np.zeros((1, 4)))
    assert math.isinf(alone.across.high)
    assert alone.to_dict()["across_seeds"] == [None, None]  # JSON has no infinity


def test_sign_flips_agree_with_counting_them_all():
    assert intervals.sign_flip_probability(np.ones(5)) == pytest.approx(2 / 2**5, abs=0.01)
    assert intervals.sign_flip_probability(np.zeros(5)) == 1.0
    rng = np.random.default_rng(3)
    under_nothing = [intervals.sign_flip_probability(rng.normal(size=40)) for _ in range(100)]
    assert sum(p < 0.05 for p in under_nothing) < 14


def test_holm_by_hand():
    assert intervals.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert intervals.holm([0.9, 0.9]) == [1.0, 1.0]
    assert intervals.holm([]) == []


ARM, NONE = planted(0.55, 1), planted(0.40, 2)
ENGLISH = planted(0.60, 3)


def test_an_arm_that_keeps_all_rules_repairs():
    judged = verdict(ARM, ENGLISH, NONE, ENGLISH)
    assert judged.repairs
    assert judged.because == ()
    assert judged.gain.questions.value == pytest.approx(ARM.mean() - NONE.mean())


def one_seed_worse(values):
    changed = values.copy()
    changed[1] = NONE[1] - 0.01
    return changed


@pytest.mark.parametrize(
    ("arm", "english", "because"),
    [
        (NONE, ENGLISH, "interval over questions"),
        (NONE - 0.2, ENGLISH, "interval over questions"),
        (one_seed_worse(ARM), ENGLISH, "every text model"),
        (ARM, ENGLISH - 0.006, "English is down by 0.6 points"),
    ],
)
def test_each_rule_bites(arm, english, because):
    judged = verdict(arm, english, NONE, ENGLISH)
    assert not judged.repairs
    assert any(because in reason for reason in judged.because)


def test_half_a_point_of_english_is_allowed():
    assert verdict(ARM, ENGLISH - 0.005, NONE, ENGLISH).repairs
    noise = np.random.default_rng(9).normal(size=ENGLISH.shape)  # the rule asks for the mean, not for its interval
    judged = verdict(ARM, ENGLISH + 0.2 * (noise - noise.mean()), NONE, ENGLISH)
    assert judged.english.questions.low < -0.01
    assert judged.repairs
