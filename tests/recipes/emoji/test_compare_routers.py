"""Routers compared in the tiny preset, and its statistics on values whose answer is known."""

from __future__ import annotations

import json

import numpy as np
import pytest
from parrot_recipes.emoji import compare_routers as compare
from parrot_recipes.emoji.presets import preset

import parrot_adapters as pa


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    return tmp_path_factory.mktemp("routers")


@pytest.mark.slow
def test_the_command(out, capsys, monkeypatch):
    monkeypatch.setattr(compare, "DIAGNOSED", 3)
    argv = [
        "text-guided",
        'top-k={"top_k": 2}',
        "language-id",
        "--preset",
        "tiny_cpu",
        "--seeds",
        "2",
        "--out",
        str(out),
    ]
    assert compare.command(argv) == 0
    shown = capsys.readouterr().out
    assert "2 seeds" in shown
    found = json.loads((out / "routers.json").read_text("utf-8"))
    bare, guided, sparse, told = found["rows"]
    assert (bare["router"], bare["parameters"], bare["diagnoses"]) == ("none", 0, [])
    assert len(guided["diagnoses"]) == len(sparse["diagnoses"]) == 2
    assert sparse["diagnoses"][0]["routing"]["entropy"] < guided["diagnoses"][0]["routing"]["entropy"]
    assert sparse["adapter"]["top_k"] == 2
    assert (told["router"], told["diagnoses"][0]["probe"]["accuracy"]) == ("language-id", 1.0)
    assert told["diagnoses"][0]["routing"]["abstained"] == 0  # every prompt's language was declared
    assert "text-guided: choice in per cent, and its change without each expert" in " ".join(shown.split())
    assert bare["experts"] == {}
    turkish = guided["experts"]["tr"]
    assert (np.shape(turkish["adapter"]), np.shape(turkish["without expert"])) == ((2,), (6, 2))
    assert turkish["adapter"] == [diagnosis["accuracy"]["tr"] for diagnosis in guided["diagnoses"]]
    assert set(guided["diagnoses"][0]["faults"]) == {"English prompt", "wrong declared language"}
    assert len(guided["scores"]["choice, seen"]["seeds"]) == 2
    assert bare["scores"]["naming, held-out"]["difference"] == {"value": 0.0, "low": 0.0, "high": 0.0}
    assert (
        pa.AdapterConfig.from_dict(
            json.loads((out / "seed-1/adapter-2/adapter_config.json").read_text("utf-8"))["adapter"]
        ).top_k
        == 2
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("text-guidd", "Did you mean 'text-guided'"),
        ("top-k={top_k: 2}", "settings must be JSON"),
        ("top-k=[2]", "must be a JSON object"),
        ('top-k={"topk": 2}', "Did you mean 'top_k'"),
    ],
)
def test_what_cannot_be_compared_is_said_before_training(text, message):
    with pytest.raises(pa.ParrotError, match=message):
        compare.router_arm(text)


def test_a_router_twice_is_refused(tmp_path):
    arm = compare.router_arm("uniform")
    with pytest.raises(pa.ParrotError, match="named twice: uniform, uniform"):
        compare.compare_routers(preset("tiny_cpu"), [arm, arm], [0], tmp_path)
    assert not list(tmp_path.iterdir())


def test_intervals_know_of_seeds_and_of_questions():
    rng = np.random.default_rng(0)
    same = compare.estimate(np.full((3, 50), 0.4))
    assert (same.value, same.low, same.high) == pytest.approx((0.4, 0.4, 0.4))
    seeds = compare.estimate(np.array([[0.2], [0.4], [0.6]]).repeat(50, 1))  # seeds differ, questions do not
    assert (seeds.low, seeds.high) == pytest.approx((0.2, 0.6), abs=0.07)
    questions = compare.estimate((rng.random((1, 400)) < 0.5).astype(float).repeat(3, 0))
    assert questions.high - questions.low == pytest.approx(2 * 1.96 * 0.5 / 20, rel=0.15)
