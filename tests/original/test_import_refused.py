"""What is no original checkpoint is refused with a reason, and nothing is left behind."""

from __future__ import annotations

import json
import shutil
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from support.reference_checkpoint import FIXTURE, PREFIX, edit, shard

from parrot_adapters.errors import CheckpointError
from parrot_adapters.original import import_checkpoint as importing
from parrot_adapters.original.import_checkpoint import import_reference


def weights(change):
    def harm(directory: Path) -> None:
        state = load_file(directory / "model.safetensors")
        change(state)
        save_file(state, directory / "model.safetensors")

    return harm


def config(**values):
    return lambda directory: edit(directory, **values)


def pickled(directory: Path) -> None:
    torch.save(load_file(directory / "model.safetensors"), directory / "pytorch_model-00001-of-00001.bin")
    (directory / "model.safetensors").unlink()


def lose_a_shard(directory: Path) -> None:
    shard(directory, 3)
    (directory / "model-00002-of-00003.safetensors").unlink()


def truncate(directory: Path) -> None:
    data = (directory / "model.safetensors").read_bytes()
    (directory / "model.safetensors").write_bytes(data[:1000])


def index_outside(directory: Path) -> None:
    (directory / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "../other.safetensors"}}))


def index_of(text: str):
    return lambda directory: (directory / "model.safetensors.index.json").write_text(text)


def tower(**values):
    return lambda directory: edit(directory / "clip-vit-tiny", **values)


def no_number(state) -> None:
    state[f"{PREFIX}gate.weight"][0, 0] = float("nan")


HARMS = {
    "no config": (lambda d: (d / "config.json").unlink(), "it has no config.json"),
    "broken config": (lambda d: (d / "config.json").write_text("{"), "not valid JSON"),
    "a plain language model": (
        config(mm_vision_tower="absent", num_experts="absent", mm_projector_type="absent"),
        r"not an original PARROT checkpoint(.|\n)*missing +mm_vision_tower, mm_projector_type, num_experts",
    ),
    "another language model": (config(model_type="llama"), "model_type is 'llama'"),
    "experts switched off": (config(use_moe=False), "use_moe is false"),
    "another projector": (config(mm_projector_type="mlp3x_gelu"), "'mlp3x_gelu'; a LLaVA host has 'mlp2x_gelu'"),
    "patches only": (config(mm_vision_select_feature="patch"), "'cls_patch'"),
    "experts of another width": (config(moe_hidden_size=32), "moe_hidden_size 32 differs from hidden_size 48"),
    "a count that is none": (config(num_experts="six"), "num_experts is 'six'"),
    "a weight that is none": (config(moe_weight="0.1"), "moe_weight is '0.1'"),
    "a value that makes no model": (config(hidden_act="none at all"), "make no model"),
    "two reasons": (config(use_moe=False, mm_projector_type="linear"), r"use_moe is false(.|\n)*'linear'"),
    "no vision tower": (lambda d: shutil.rmtree(d / "clip-vit-tiny"), "--vision-tower DIR"),
    "a tower of another width": (config(mm_hidden_size=64), "has width 32; the checkpoint was made with 64"),
    "a tower with fewer layers": (config(mm_vision_select_layer=-9), "mm_vision_select_layer is -9"),
    "a tower without CLS": (
        lambda d: (d / "clip-vit-tiny" / "config.json").write_text('{"model_type": "siglip_vision_model"}'),
        "is no CLIP",
    ),
    "pickles only": (pickled, r"pytorch_model-00001-of-00001\.bin: pickled weights are never(.|\n)*save_file"),
    "no weights": (lambda d: (d / "model.safetensors").unlink(), "holds no safetensors weights"),
    "a shard is missing": (lose_a_shard, r"1 of 3 weight files(.|\n)*model-00002-of-00003\.safetensors"),
    "truncated": (truncate, "not a readable safetensors file"),
    "an index that leads outside": (index_outside, "names files outside"),
    "an expert is missing": (
        weights(lambda s: s.pop(f"{PREFIX}experts.3.up_proj.weight")),
        r"missing +model\.moe_model\.experts\.3\.up_proj",
    ),
    "fewer experts than announced": (config(num_experts=7), r"missing +model\.moe_model\.experts\.6"),
    "the router is missing": (weights(lambda s: s.pop(f"{PREFIX}gate.weight")), "moe_model.gate.weight"),
    "a layer is missing": (weights(lambda s: s.pop("model.norm.weight")), r"missing +model\.language_model\.norm"),
    "half a tower": (
        weights(lambda s: s.pop("model.vision_tower.vision_tower.vision_model.pre_layrnorm.bias")),
        r"missing +model\.vision_tower\.pre_layrnorm\.bias",
    ),
    "an unknown weight": (
        weights(lambda s: s.update({"model.image_newline": torch.zeros(48)})),
        r"unknown +model\.image_newline",
    ),
    "more layers than tensors": (config(num_hidden_layers=10**8), "100000000 declared"),
    "more experts than tensors": (config(num_experts=10**8), "100000000 declared"),
    "a tower of more layers than tensors": (tower(num_hidden_layers=10**8), "100000000 declared"),
    "sizes beyond any file": (config(intermediate_size=2**30), r"expected \(1073741824, 48\)"),
    "a size that overflows": (config(vocab_size=10**300), "vocab_size is 10000"),
    "a factor that overflows": (config(moe_weight=10**300), "moe_weight is 1000"),
    "a config 100,000 deep": (lambda d: (d / "config.json").write_text("[" * 100_000), "100 levels"),
    "a tower whose name is too long": (config(mm_vision_tower="x" * 300), "--vision-tower DIR"),
    "a tower whose name holds a zero": (config(mm_vision_tower="x\0"), "--vision-tower DIR"),
    "an index that is no mapping": (index_of("[1]"), "not an object"),
    "an index without names": (index_of('{"weight_map": [1]}'), "not an index"),
    "another vocabulary": (config(vocab_size=400), r"\(311, 48\), expected \(400, 48\)"),
    "NaN in an expert": (weights(no_number), "NaN or infinite"),
}


@pytest.mark.parametrize("name", HARMS)
def test_refused(source, tmp_path, name):
    harm, message = HARMS[name]
    harm(source)
    with pytest.raises(CheckpointError, match=message):
        import_reference(source, tmp_path / "out")
    assert [p.name for p in tmp_path.iterdir()] == ["source"], "nothing is written"


def test_no_such_directory(tmp_path):
    with pytest.raises(CheckpointError, match="no such directory"):
        import_reference(tmp_path / "nowhere", tmp_path / "out")


def test_a_destination_in_use(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("years of work")
    with pytest.raises(CheckpointError, match="exists already"):
        import_reference(FIXTURE, tmp_path / "out")
    assert (tmp_path / "out" / "thesis.tex").read_text() == "years of work"


def test_an_empty_destination_will_do(tmp_path):
    (tmp_path / "out").mkdir()
    import_reference(FIXTURE, tmp_path / "out")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out"]


def test_a_full_disk_is_one_clear_error(tmp_path, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(importing, "write_shards", full)
    with pytest.raises(CheckpointError, match="No space left"):
        import_reference(FIXTURE, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("step", ["write_host", "write_adapter"])
def test_a_failure_on_the_way_leaves_nothing(tmp_path, monkeypatch, step):
    whole = getattr(importing._Plan, step)

    def interrupted(self, *args, **kwargs):
        whole(self, *args, **kwargs)
        raise KeyboardInterrupt

    monkeypatch.setattr(importing._Plan, step, interrupted)
    with pytest.raises(KeyboardInterrupt):
        import_reference(FIXTURE, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


ODD = st.sampled_from([None, True, 0, -1, 2**63, 10**300, 1e308, "", "x" * 300, "\0", [], [[]], {}, {"a": 1}, 0.5])


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_value_in_any_config(tmp_path_factory, data):
    work = tmp_path_factory.mktemp("odd")
    source = Path(shutil.copytree(FIXTURE, work / "source"))
    file = data.draw(st.sampled_from(["config.json", "clip-vit-tiny/config.json", "generation_config.json"]))
    path = source / file
    described = json.loads(path.read_text("utf-8")) if path.is_file() else {"suppress_tokens": [1]}
    described[data.draw(st.sampled_from(sorted(described)))] = data.draw(ODD)
    path.write_text(json.dumps(described))
    with suppress(CheckpointError):
        import_reference(source, work / "out")
