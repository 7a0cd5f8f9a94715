"""The presets of recipes/train: each loads, freezes and plans on a miniature of its host's architecture."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import transformers
import yaml
from miniatures import FAMILIES
from support.folders import ROOT
from support.real_architectures import ARCHITECTURES
from support.tiers import late_unless

import parrot_adapters as pa
from parrot_adapters.testing import small_llava
from parrot_adapters.training import assign_roles, load_config, parameter_groups, set_trainable
from parrot_adapters.training.plan import make_plan

FOLDER = ROOT / "recipes" / "train"
PRESETS = {path.stem: path for path in sorted(FOLDER.rglob("*.yaml"))}
TRAINED = {
    "tiny_cpu": {"adapter", "projector"},
    "tiny_cpu-layers": {"adapter"},
    "tiny_cpu-stage1": {"projector"},
    "llava-1.5-7b": {"adapter", "projector"},
    "llava-1.5-7b-layers": {"adapter", "projector"},
    "qwen2.5-vl-3b": {"adapter"},
    "qwen2.5-vl-7b": {"adapter", "projector", "lora"},
    "parrot-7b-stage1": {"projector"},
    "parrot-7b-stage2": {"adapter", "projector", "language_model", "embeddings"},
}
SMALLER = ("adapter.expert_hidden_size=16", "data.max_length=64")


@pytest.fixture(autouse=True)
def _no_examples(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Examples are made when a preset is trained; here their names are enough."""
    monkeypatch.setattr("parrot_adapters.training.config_loading.example_path", lambda name: None)


def miniature(preset: str) -> Any:
    """A config of the preset's architecture, small."""
    if preset.startswith("qwen"):
        return FAMILIES["qwen2_5_vl"].config()
    if not preset.startswith("parrot"):
        return FAMILIES["llava"].config()
    return small_llava(text={"model_type": "qwen2"}, vision_feature_select_strategy="full").config


def load(preset: str, *more: str) -> Any:
    overrides = [o for o in SMALLER if not (o.startswith("adapter") and preset.endswith("stage1"))]
    return load_config(PRESETS[preset], [*overrides, *more])


def test_every_preset_is_looked_at() -> None:
    assert PRESETS.keys() == TRAINED.keys() == {*ARCHITECTURES, "tiny_cpu", "tiny_cpu-layers", "tiny_cpu-stage1"}


@pytest.mark.parametrize("preset", PRESETS)
def test_the_first_line_is_the_command(preset: str) -> None:
    first, *others = PRESETS[preset].read_text("utf-8").splitlines()
    assert re.fullmatch(
        rf"# (parrot|torchrun .* -m parrot_adapters) train recipes/train/{re.escape(preset)}\.yaml", first
    )
    header = " ".join(line.strip("# ") for line in others if line.startswith("#"))
    for said in ("GPUs: ", "Memory: ", "Time: ", "estimate"):
        assert said in header, said


@pytest.mark.parametrize("preset", PRESETS)
def test_it_trains_what_it_should(preset: str) -> None:
    run = load(preset)
    model = transformers.AutoModelForImageTextToText.from_config(miniature(preset))
    lora = dict(run.lora) if run.train.language_model == "lora" else None
    handle = (
        pa.attach_projector(model)
        if run.adapter is None
        else pa.attach(model, run.adapter, train_projector=bool(run.train.projector), lora=lora)
    )
    set_trainable(handle, run)
    roles = assign_roles(handle)
    assert {roles[name] for name, p in handle.model.named_parameters() if p.requires_grad} == TRAINED[preset]
    rates = {group["role"]: group["lr"] for group in parameter_groups(handle, run)}
    assert rates == {r: run.optim.learning_rates.get(r, run.optim.learning_rate) for r in TRAINED[preset]}


@pytest.mark.parametrize("preset", late_unless(["parrot-7b-stage2"], PRESETS))
def test_it_can_be_planned(preset: str) -> None:
    processes = ARCHITECTURES[preset][2] if preset in ARCHITECTURES else 1
    pixels = ("host.processor.max_pixels=256",) if preset.startswith("qwen") else ()
    plan = make_plan(load(preset, *pixels), processes=processes, host_config=miniature(preset))
    assert {role.role for role in plan.roles if role.trainable} == TRAINED[preset]
    assert plan.memory is not None
    assert "a picture in each" in plan.memory.batch
    assert plan.accumulation * processes * plan.config.batch.per_device == plan.config.batch.size
    assert plan.data.problem is not None  # its data is not here


def test_the_papers_hyper_parameters() -> None:
    one, two = load_config(PRESETS["parrot-7b-stage1"]), load_config(PRESETS["parrot-7b-stage2"])
    assert (one.recipe, one.batch.size, one.optim.learning_rate, one.engine.kind) == ("stage1", 256, 1e-3, "zero2")
    assert (two.recipe, two.batch.size, two.optim.learning_rate, two.engine.kind) == ("stage2", 128, 2e-5, "zero3")
    for run in (one, two):
        assert (run.epochs, run.steps, run.optim.schedule, run.optim.warmup_ratio) == (1.0, None, "cosine", 0.03)
        assert (run.optim.weight_decay, run.data.max_length, run.engine.compute) == (0.0, 2048, "bfloat16")
    assert two.train.language_model == "full"
    adapter = pa.AdapterConfig.from_dict(two.adapter)
    assert (adapter.router, adapter.expert, adapter.num_experts) == ("text-guided", "swiglu", 6)
    assert (adapter.expert_hidden_size, adapter.top_k) == (4096, None)
    assert [s.language for s in two.data.sources] == ["en", "zh", "pt", "ar", "tr", "ru"]


@pytest.mark.slow
@pytest.mark.parametrize("preset", ARCHITECTURES)
def test_the_header_says_what_the_plan_says(preset: str) -> None:
    """On the real architecture, made from transformers' config classes; parameters as published, memory as said."""
    architecture, billions, processes = ARCHITECTURES[preset]
    plan = make_plan(load_config(PRESETS[preset]), processes=processes, host_config=architecture())
    own = sum(role.parameters for role in plan.roles if role.role not in ("adapter", "lora"))
    assert round(own / 1e9, 2) == billions
    said = re.search(r"Memory: (\d+) GiB", PRESETS[preset].read_text("utf-8"))
    assert said is not None
    assert plan.memory is not None
    assert int(said[1]) - 1 <= plan.memory.total / 2**30 <= int(said[1])


def test_the_readme_lists_them() -> None:
    readme = (FOLDER / "README.md").read_text("utf-8")
    assert {*re.findall(r"\[`([\w.-]+)\.yaml`\]", readme)} == PRESETS.keys()
    for block in re.findall(r"```yaml\n(.*?)```", readme, re.DOTALL):
        yaml.safe_load(block)
