"""The comparison on a host of one's own: what each arm trains, what the table says of answers that are made up."""

from __future__ import annotations

import json
import sys
from dataclasses import replace

import pytest
from parrot_recipes.emoji.errors import RecipeError
from parrot_recipes.emoji.languages import CODES
from parrot_recipes.reproduce import rivals
from parrot_recipes.reproduce.command import command
from parrot_recipes.reproduce.rivals import RIVALS, YOURS, run_rivals, settings_of
from parrot_recipes.train.command import command as train

from parrot_adapters.training import load_config

YAML = """
recipe: retrofit
out: ignored
host: {path: somebody/a-host, dtype: float32}
adapter: {expert: conditioned-swiglu, num_experts: 1, expert_hidden_size: 64}
train: {projector: true}
losses: {load-balancing: 0.01}
data: {sources: [{path: train.json}], max_length: 256}
steps: 2
batch: {size: 8, per_device: 8}
optim: {learning_rate: 1e-3, learning_rates: {adapter: 2e-3, projector: 1e-4}}
engine: {device: cpu, compute: float32}
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(YAML)
    return path


@pytest.fixture
def emoji_file(file):
    text = file.read_text().replace("somebody/a-host", '"example:emoji/host"')
    file.write_text(text.replace("train.json", '"example:emoji/llava_stage2.json"'))
    return file


@pytest.fixture
def base(file):
    return load_config(file)


def test_every_rival_is_a_configuration_that_can_be_trained(base, tmp_path):
    for key, settings in settings_of(base, tuple(RIVALS), 3).items():
        path = tmp_path / f"{key}.yaml"
        path.write_text(rivals.yaml.safe_dump(rivals._plain(settings)))
        read = load_config(path)  # no key of the base is left that the arm has no use for
        assert read == replace(settings, losses=read.losses, loss_options=read.loss_options)
        assert (read.seed, read.steps, read.batch, read.data) == (3, base.steps, base.batch, base.data)


def test_your_own_arm_is_yours_and_rates_go_with_what_trains(base):
    made = settings_of(base, tuple(RIVALS), 0)
    assert made[YOURS] == base
    assert dict(made["none"].optim.learning_rates) == {"projector": 1e-4}
    assert dict(made["lora"].optim.learning_rates) == {"projector": 1e-4, "lora": rivals.LORA_RATE}
    assert dict(made["single"].optim.learning_rates) == {"adapter": 2e-3, "projector": 1e-4}
    assert made["deep-1"].optim.learning_rates["adapter"] == rivals.LORA_RATE
    assert made["lora"].losses == {}


def test_without_a_projector_to_train_no_adapter_is_the_untouched_host(base):
    frozen = replace(base, train=replace(base.train, projector=False), optim=replace(base.optim, learning_rates={}))
    assert "none" not in settings_of(frozen, tuple(RIVALS), 0)


@pytest.fixture
def answers(monkeypatch):
    """No process runs; each leaves what ``answers[arm]`` says: hits by language, and the text's losses."""
    said = {}

    def run(words):
        words = list(map(str, words))
        out = rivals.Path(words[-1] if words[-2] == "--out" else "/nowhere")
        if "evaluate" in words:
            arm = next(key for key in said if f"/{key}" in words[-1])
            subsets = {
                f"MMMB_{language}": {"overall": sum(hits.values()) / len(hits), "hits": hits}
                for language, hits in said[arm][0].items()
            }
            out.mkdir(parents=True, exist_ok=True)
            (out / "results.json").write_text(json.dumps({"subsets": subsets}))
        elif "parrot_recipes.reproduce.text_cost" in words:
            arm = next(key for key in said if f"/{key}" in words[-1])
            loss = said[arm][1]
            reading = {"losses": dict.fromkeys(CODES, loss), "losses_with_end": dict.fromkeys(CODES, loss)}
            reading |= {
                "logits": dict.fromkeys(CODES, str(loss)),
                "answers": {code: [[1], [int(loss)]] for code in CODES},
            }
            out.write_text(json.dumps(reading))
        said["ran"].append(words)

    said["ran"] = []
    monkeypatch.setattr(rivals, "_process", run)
    monkeypatch.setattr(rivals, "_sizes", lambda run: {"parameters": 7, "trained": 9})
    return said


def test_gains_and_costs_are_told_arm_by_arm(file, tmp_path, answers):
    right, wrong = {"1": 1, "2": 1, "3": 1, "4": 1}, {"1": 0, "2": 0, "3": 1, "4": 1}
    answers["untouched"] = ({"en": right, "tr": wrong, "ar": wrong}, 1.0)
    answers["none"] = ({"en": right, "tr": wrong, "ar": wrong}, 1.0)
    answers["yours"] = ({"en": right, "tr": right, "ar": wrong}, 1.0)
    answers["lora"] = ({"en": wrong, "tr": right, "ar": right}, 2.0)
    found = run_rivals(file, tmp_path / "out", ["--benchmark", "mmmb"], arms=["none", "lora"], seeds=(0, 1))
    arms = found["arms"]
    assert found["gain_over"] == "none"
    assert arms["yours"]["gain"]["value"] == pytest.approx(0.25)  # two of four questions in one of two languages
    assert arms["lora"]["gain"]["value"] == pytest.approx(0.5)
    assert arms["lora"]["gain"]["seeds"] == [0.5, 0.5]
    assert arms["yours"]["text_identical"]
    assert not arms["yours"]["costs"]
    assert arms["lora"]["costs"]
    assert arms["lora"]["text_drift"]["tr"] == pytest.approx(1.718, abs=1e-3)  # e to the 2 - 1
    assert arms["lora"]["text_agreement"] == 0.5
    written = (tmp_path / "out" / "table.md").read_text()
    assert "| LoRA r = 24 | 2 | 9 | 50.0 | 100.0 | +50.0" in written
    assert "0, bit for bit" in written
    trained = [words for words in answers["ran"] if "train" in words]
    assert len(trained) == 2 * 3  # two seeds of none, yours and lora
    assert trained[0][0] == sys.executable


def test_arms_are_asked_with_the_host_as_it_was_trained(file, tmp_path, answers):
    file.write_text(YAML.replace("dtype: float32", "dtype: float32, processor: {max_pixels: 501760}"))
    answers["untouched"] = answers["yours"] = ({"en": {"1": 1}, "tr": {"1": 1}}, 1.0)
    run_rivals(file, tmp_path / "out", ["--limit", "1", "--dtype", "bfloat16"], arms=[])
    asked = [words for words in answers["ran"] if "evaluate" in words]
    assert len(asked) == 2
    for words in asked:
        assert words[words.index("--processor") + 1] == "max_pixels=501760"
        assert words[words.index("--dtype") + 1] == "float32"
        assert words.index("--limit") > words.index("--processor")  # the user's own words come last, and win


def test_training_is_started_as_asked(file, tmp_path, answers):
    answers["untouched"] = answers["yours"] = ({"en": {"1": 1}, "tr": {"1": 1}}, 1.0)
    run_rivals(file, tmp_path / "out", ["--limit", "1"], arms=[], launcher="torchrun --nproc-per-node 8")
    (trained,) = (words for words in answers["ran"] if "train" in words)
    assert trained[:5] == ["torchrun", "--nproc-per-node", "8", "-m", "parrot_adapters"]


def test_what_cannot_be_compared_is_refused(file, tmp_path):
    with pytest.raises(RecipeError, match="nothing to ask"):
        run_rivals(file, tmp_path, [])
    with pytest.raises(RecipeError, match="no rival named 'lora-24'"):
        run_rivals(file, tmp_path, ["--benchmark", "mmmb"], arms=["lora-24"])
    whole = tmp_path / "whole.yaml"
    whole.write_text(YAML.replace("{projector: true}", "{projector: true, language_model: full}"))
    with pytest.raises(RecipeError, match="language model whole"):
        run_rivals(whole, tmp_path, ["--benchmark", "mmmb"])
    with pytest.raises(SystemExit) as refused:
        command(["--launch", "torchrun"])
    assert refused.value.code == 2


@pytest.mark.slow
def test_a_real_comparison_from_end_to_end(emoji_file, tmp_path, capfd):
    from parrot_adapters.examples import example_path

    out = tmp_path / "out"
    words = ["--rivals", str(emoji_file), "--out", str(out), "--arms", "lora", "--", "--benchmark", "emoji", "--data"]
    words += [
        str(example_path("example:emoji/host").parent),
        "--protocol",
        "vlmevalkit-2026",
        "--scoring",
        "loglik",
        "--limit",
        "4",
    ]
    assert command(words) == 0
    found = json.loads((out / "results.json").read_text("utf-8"))
    assert list(found["arms"]) == ["untouched", "yours", "lora"]
    assert found["arms"]["yours"]["text_identical"]
    assert not found["arms"]["lora"]["text_identical"]
    assert (out / "lora-seed-0" / "run" / "adapter" / "llm_lora").is_dir()
    written = (out / "yours-seed-0" / "plain-text.json").stat().st_mtime_ns
    assert command(words) == 0
    assert (out / "yours-seed-0" / "plain-text.json").stat().st_mtime_ns == written
    assert "done already" in capfd.readouterr().out


@pytest.mark.slow
def test_lora_alone_is_trained_without_a_module(emoji_file, tmp_path):
    text = emoji_file.read_text()
    for mine, alone in {
        "adapter: {expert: conditioned-swiglu, num_experts: 1, expert_hidden_size: 64}": "lora: {r: 2}",
        "losses: {load-balancing: 0.01}\n": "",
        "{projector: true}": "{adapter: false, projector: true}",
        "adapter: 2e-3, ": "",
    }.items():
        assert mine in text
        text = text.replace(mine, alone)
    emoji_file.write_text(text)
    assert train([str(emoji_file), f"out={tmp_path / 'run'}"]) == 0
    assert sorted(path.name for path in (tmp_path / "run" / "adapter").iterdir()) == [
        "README.md", "adapter_config.json", "llm_lora", "projector.safetensors",
    ]  # fmt: skip
