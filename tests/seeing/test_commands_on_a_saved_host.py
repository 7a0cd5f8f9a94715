"""``parrot diagnose`` and ``parrot explain`` on a host saved with its processor, as a user has one."""

from __future__ import annotations

import base64
import json

import pytest

pytest.importorskip("PIL", reason="reads pictures")

import tiny_vlm
import torch

import parrot_adapters as pa
from parrot_adapters.cli import main
from parrot_adapters.interop.diagnosing import ENGLISH_PROMPT, benchmark_questions, benchmark_samples
from parrot_adapters.interop.evaluation_host import EvaluationHost


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("seeing")
    tiny_vlm.save_llava(folder / "host")
    tiny_vlm.save_benchmark(folder, languages=("en", "ar", "tr"))
    loaded = EvaluationHost.load(str(folder / "host"), device="cpu")
    handle = pa.attach(loaded.model, {"num_experts": 3, "expert_hidden_size": 16}, processor=loaded.processor)
    with torch.no_grad():
        for parameter in handle.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)) * 0.3)
    handle.save_pretrained(folder / "adapter")
    return folder


@pytest.fixture
def options(saved):
    return ["--model", str(saved / "host"), "--adapter", str(saved / "adapter")]


def test_diagnose(saved, options, tmp_path, capsys):
    argv = ["diagnose", *options, "--benchmark", "mmmb", "--data", str(saved), "--limit", "3"]
    assert main([*argv, "--json", str(tmp_path / "d.json")]) == 0
    shown = capsys.readouterr().out
    assert "Language told by routing" in shown
    assert "FLAG" in shown
    found = json.loads((tmp_path / "d.json").read_text("utf-8"))
    assert set(found["accuracy"]) == {"en", "ar", "tr"}
    assert len(found["ablation"]["tr"]) == 3
    assert set(found["faults"]) == {ENGLISH_PROMPT, "wrong declared language"}
    assert set(found["faults"][ENGLISH_PROMPT]) == {"ar", "tr"}
    assert main([*argv, "--strict"]) == (1 if found["flags"] else 0)


def test_samples_share_pictures_across_languages(saved, options):
    questions = benchmark_questions("mmmb", str(saved), ["en", "tr"], 2)
    host = EvaluationHost.load(options[1], adapter=options[3], device="cpu")
    samples = benchmark_samples(host, questions)
    count = len(samples) // 2
    assert [s.picture for s in samples[:count]] == [s.picture for s in samples[count:]]
    for english, turkish in zip(samples[:count], samples[count:], strict=True):
        assert english.variants == {}
        given = turkish.variants[ENGLISH_PROMPT]
        assert torch.equal(given["input_ids"], english.inputs["input_ids"])
        assert turkish.options == english.options
        assert turkish.answer == english.answer


def test_explain(saved, options, tmp_path, capsys):
    [question, *_] = benchmark_questions("mmmb", str(saved), ["en"], 1)
    picture = tmp_path / "picture.png"
    picture.write_bytes(base64.b64decode(question.picture_texts[0]))
    argv = ["explain", *options, str(picture), "--prompt", "what is this", "--prompt", "which"]
    assert main([*argv, "--json", str(tmp_path / "e.json")]) == 0
    assert "Routed as another prompt" in capsys.readouterr().out
    found = json.loads((tmp_path / "e.json").read_text("utf-8"))
    assert found["prompts"][0]["kl"] > 0


def test_bad_usage(saved, options, capsys):
    argv = ["diagnose", *options, "--data", str(saved)]
    assert main([*argv, "--limit", "0"]) == 2
    assert main([*argv, "--benchmark", "mmmbb"]) == 2
    assert main([*argv, "--benchmark", "mmmb", "--languages", "ru"]) == 1
    assert "ru" in capsys.readouterr().err
