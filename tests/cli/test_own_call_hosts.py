"""The library's commands on hosts that encode and merge by themselves, as their users have them on disk."""

from __future__ import annotations

import base64
import json
import types
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from support import benchmark_files
from support.own_call_folders import own_call_config, own_call_processor, save_own_call_host

import parrot_adapters as pa
from parrot_adapters.cli import main
from parrot_adapters.data import Collator
from parrot_adapters.data.dialogue import Dialogue, Picture, Turn
from parrot_adapters.errors import ConfigError, HostError
from parrot_adapters.evaluation.answers.option_scorer import OptionScorer
from parrot_adapters.evaluation.answers.transformers_host import EvaluationHost
from parrot_adapters.evaluation.benchmark.data_error import EvaluationDataError
from parrot_adapters.hosts.load_host import load_host

RUN = """
recipe: retrofit
out: {folder}/run
host: {{path: {host}, dtype: float32}}
adapter: {{num_experts: 2, expert_hidden_size: 16}}
train: {{projector: true}}
data: {{sources: [{{path: {folder}/asked.json, images: {folder}, language: en}}], max_length: 256}}
steps: {steps}
batch: {{size: 4, per_device: 2}}
engine: {{device: cpu, compute: float32}}
checkpoint: {{every: 2}}
log: {{every: 1, progress: false}}
"""


def write_run(folder: Path, host: Path, steps: int) -> str:
    """A run on eight pictures."""
    samples = []
    for number in range(8):
        Image.new("RGB", (20, 20), (30 * number, 0, 0)).save(folder / f"{number}.png")
        told = [{"from": "human", "value": "<image>\nWhat" + "?" * number}, {"from": "gpt", "value": "red"}]
        samples.append({"id": str(number), "image": f"{number}.png", "conversations": told})
    (folder / "asked.json").write_text(json.dumps(samples))
    (folder / f"{steps}.yaml").write_text(RUN.format(folder=folder, host=host, steps=steps))
    return str(folder / f"{steps}.yaml")


def evaluate(host: Path, folder: Path, *more: str) -> int:
    benchmark_files.save_benchmark(folder / "bench", questions=2)
    data = ["--benchmark", "mmmb", "--data", str(folder / "bench"), "--protocol", "vlmevalkit-2024"]
    out = ["--device", "cpu", "--max-new-tokens", "3", "--out", str(folder / f"out-{more[-1]}")]
    return main(["evaluate", "--model", str(host), *data, *more, *out])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["blip-2", "kosmos-2"])
def test_checked_planned_trained_gone_on_with_and_evaluated(name: str, tmp_path: Path, capsys: Any) -> None:
    host = save_own_call_host(name, tmp_path / "host")
    capsys.readouterr()
    assert main(["check", f"host:{host}", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["seam"], found["ok"]) == ("calls", True)
    assert main(["plan", write_run(tmp_path, host, 2), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["memory"] is not None
    assert main(["train", write_run(tmp_path, host, 2)]) == 0
    assert main(["train", write_run(tmp_path, host, 3)]) == 0
    assert "steps 2 to 3" in capsys.readouterr().out
    model, processor = load_host(str(host), device="cpu")
    handle = pa.load_adapter(model, tmp_path / "run" / "adapter", strict=True, processor=processor)
    assert handle.seam == "calls"
    for scoring in ("generate", "loglik"):
        assert evaluate(host, tmp_path, "--adapter", str(tmp_path / "run/adapter"), "--scoring", scoring) == 0
        assert "4 of 4 answers are new" in capsys.readouterr().out


@pytest.mark.slow
def test_an_encoder_decoder_is_checked_and_asked_and_refused_where_answers_follow_prompts(
    tmp_path: Path, capsys: Any
) -> None:
    host = save_own_call_host("florence2", tmp_path / "host")
    assert main(["check", f"host:{host}", "--json"]) == 0
    assert evaluate(host, tmp_path, "--scoring", "generate") == 0
    for command in (["plan", "--json"], ["train"]):
        assert main([*command, write_run(tmp_path, host, 2)]) == 2
        assert "reads the prompt in an encoder" in capsys.readouterr().err
    assert evaluate(host, tmp_path, "--scoring", "loglik") != 0
    assert "--scoring generate" in capsys.readouterr().err


def test_answers_in_a_decoder_of_its_own_are_not_learned_or_scored_behind_the_prompt() -> None:
    processor = own_call_processor("florence2")
    config = own_call_config("florence2", len(processor.tokenizer))
    with pytest.raises(ConfigError, match=r"reads the prompt in an encoder(.|\n)*'florence2'(.|\n)*Trainer"):
        Collator(processor, model_config=config)
    with pytest.raises(HostError, match=r"decoder of its own(.|\n)*--scoring generate"):
        OptionScorer(types.SimpleNamespace(model=types.SimpleNamespace(config=config)))  # type: ignore[arg-type]


@pytest.mark.parametrize("side", ["left", "right"])
def test_answers_are_labelled_whatever_side_a_processor_pads(side: str, tmp_path: Path) -> None:
    """Kosmos-2's pads on its tokenizer's side, whatever it is asked for."""
    processor = own_call_processor("kosmos-2")
    processor.tokenizer.padding_side = side
    Image.new("RGB", (20, 20)).save(tmp_path / "a.png")
    asked = [
        Dialogue(word, "", "en", (Turn("user", (Picture(str(tmp_path / "a.png")), word)), Turn("assistant", ("red",))))
        for word in ("What?", "What is it?")
    ]
    batch = Collator(processor)(asked)
    assert (batch["attention_mask"][:, 0] == 0).any() == (side == "left")
    for ids, labels in zip(batch["input_ids"], batch["labels"], strict=True):
        assert processor.tokenizer.decode(ids[labels != -100]).split("</s>")[0].strip() == "red"


def test_a_q_former_does_not_read_the_answer(tmp_path: Path) -> None:
    processor = own_call_processor("instructblip")
    Image.new("RGB", (20, 20)).save(tmp_path / "a.png")
    shown = Picture(str(tmp_path / "a.png"))
    asked = [
        Dialogue(word, "", "en", (Turn("user", (shown, word)), Turn("assistant", ("red",))))
        for word in ("What?", "Is it?")
    ]
    batch = Collator(processor)(asked)
    read = processor.qformer_tokenizer.batch_decode(batch["qformer_input_ids"], skip_special_tokens=True)
    assert [text.strip() for text in read] == ["What?", "Is it?"]
    assert batch["qformer_attention_mask"].shape == batch["qformer_input_ids"].shape
    answers = [ids[labels != -100] for ids, labels in zip(batch["input_ids"], batch["labels"], strict=True)]
    assert [processor.tokenizer.decode(ids, skip_special_tokens=True).strip() for ids in answers] == ["red", "red"]


def test_a_processor_that_fails_is_named(tmp_path: Path, capsys: Any) -> None:
    """BLIP-2's fails where its tokenizer knows the placeholder by name."""
    host = save_own_call_host("blip-2", tmp_path / "host", named=True)
    assert main(["check", f"host:{host}"]) == 2
    assert "Blip2Processor makes no inputs" in capsys.readouterr().err
    question: Any = types.SimpleNamespace(
        prompt="What?", subset="MMMB_en", index=7, language="en", pictures=lambda: [base64.b64decode(shown)]
    )
    shown = benchmark_files.picture(0)
    asking = EvaluationHost(torch.nn.Identity(), own_call_processor("blip-2", named=True))
    with pytest.raises(EvaluationDataError, match=r"Blip2Processor refuses(.|\n)*MMMB_en 7"):
        asking.encode([question])
