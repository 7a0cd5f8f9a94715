"""``parrot diagnose`` and ``parrot explain`` on a host saved with its processor, as a user has one."""

from __future__ import annotations

import base64
import json
from dataclasses import replace

import pytest

from parrot_adapters.testing import byte_tokenizer, save_small_host

pytest.importorskip("PIL", reason="reads pictures")

import torch
from support import benchmark_files

import parrot_adapters as pa
from parrot_adapters.analysis.benchmark_samples import (
    CODE_SWITCHED,
    ENGLISH_PROMPT,
    benchmark_questions,
    benchmark_samples,
    code_switched,
)
from parrot_adapters.analysis.diagnose import diagnose
from parrot_adapters.analysis.layer_hooks import watched
from parrot_adapters.cli import main
from parrot_adapters.evaluation.answers.transformers_host import EvaluationHost


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("seeing")
    save_small_host(folder / "host")
    benchmark_files.save_benchmark(folder, languages=("en", "ar", "tr"))
    benchmark_files.save_benchmark(folder / "otherwise", languages=("en",), size=(16, 20))  # the same, otherwise drawn
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
    assert set(found["faults"]) == {ENGLISH_PROMPT, CODE_SWITCHED, "wrong declared language"}
    assert set(found["faults"][ENGLISH_PROMPT]) == set(found["faults"][CODE_SWITCHED]) == {"ar", "tr"}
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


def test_a_second_view_and_categories(saved, options, tmp_path, capsys):
    argv = ["diagnose", *options, "--benchmark", "mmmb", "--data", str(saved), "--limit", "6", "--languages", "en,tr"]
    assert main([*argv, "--second-view", str(saved / "otherwise"), "--json", str(tmp_path / "d.json")]) == 0
    shown = capsys.readouterr().out
    assert "another view found" in shown
    assert "category told by the mean visual token" in shown
    kept = json.loads((tmp_path / "d.json").read_text("utf-8"))["preservation"]
    assert 0 <= kept["retrieval_after"] <= 1
    assert kept["category_chance"] == 0.5
    assert main([*argv, "--second-view", str(saved)]) == 2
    assert "its own picture" in capsys.readouterr().err
    benchmark_files.save_benchmark(tmp_path / "few", questions=2, languages=("en",), size=(16, 20))
    assert main([*argv, "--second-view", str(tmp_path / "few")]) == 2
    assert "MMMB_tr 2" in capsys.readouterr().err


class ByScript(torch.nn.Module):
    """Planted: a prompt with a single Latin letter in it, wherever it is, goes to the second expert."""

    def __init__(self, width, num_experts):
        super().__init__()
        self.num_experts = num_experts
        self.letters = [byte_tokenizer().convert_tokens_to_ids(letter) for letter in "abcdefghijklmnopqrstuvwxyz"]

    def forward(self, inputs):
        latin = (torch.isin(inputs.token_ids, torch.tensor(self.letters)) & inputs.text_mask).any(1)[inputs.rows]
        weights = torch.nn.functional.one_hot(latin.long(), self.num_experts).float()
        return pa.Routing(weights, 10 * weights)


@pytest.mark.parametrize("planted", [True, False])
@pytest.mark.few(1)
def test_planted_a_router_that_a_switch_of_language_confuses(saved, planted):
    host = EvaluationHost.load(str(saved / "host"), device="cpu")
    with pa.attach(host.model, {"num_experts": 2, "expert_hidden_size": 16}, processor=host.processor) as handle:
        host.adapter = handle
        sound = pa.plugins.find("router", "frozen").factory(32, 2, expert=0)  # in Arabic both do the same
        handle.module.router = ByScript(32, 2) if planted else sound
        with torch.no_grad():
            handle.module.experts.down[1].normal_(generator=torch.Generator().manual_seed(0))
        questions = benchmark_questions("mmmb", str(saved), [], 6, "question")
        faults = diagnose(handle, benchmark_samples(host, questions, by_text=True), score=untouched).faults
    for fault in (CODE_SWITCHED, ENGLISH_PROMPT):
        assert faults[fault]["ar"].lost == (1.0 if planted else 0.0)


def untouched(handle, inputs, sample):
    """1 where the picture is handed on as it came, as the first expert does."""
    with watched(handle) as passes:
        handle.model(**inputs)
    return float(not passes or torch.equal(passes[0].before, passes[0].after))


def test_half_of_the_words_of_each_language(saved):
    english, turkish = benchmark_questions("mmmb", str(saved), ["en", "tr"], 1)
    mixed = code_switched(turkish, english)
    assert "What is ne?" in mixed.prompt
    assert mixed.prompt.replace("What is ne?", "Bu ne?").split() == turkish.prompt.split()
    chinese = replace(
        turkish, row=replace(turkish.row, cells={"question": "这是什么"}), prompt="Question: 这是什么\nA. 猫"
    )
    assert code_switched(chinese, english).prompt == "Question: What is 什么\nA. 猫"


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
