"""Save and load give the very same adapter back."""

from __future__ import annotations

import json
import shutil

import pytest
import torch

import parrot_adapters as pa


def check_round_trip(kit, handle, make_host, inputs, directory) -> None:
    """A reloaded adapter has the same bits and gives the same logits."""
    handle.save_pretrained(directory)
    other = make_host()
    again = pa.load_adapter(other, directory, strict=True)
    kit.assert_same_bits(kit.bits(again.module), kit.bits(handle.module))
    assert again.config == handle.config
    assert again.chat == handle.chat
    assert torch.equal(kit.logits(other, inputs), kit.logits(handle.model, inputs))


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"router": "text-guided-qkv", "expert": "mlp", "top_k": 2, "residual_scale": 0.1},
        {"expert": "conditioned-swiglu", "num_experts": 1, "router_options": {"normalize": "none"}},
    ],
    ids=["default", "qkv-mlp-top-2", "single conditioned"],
)
def test_exact(kit, host, make_host, inputs, tmp_path, settings):
    config = {"num_experts": 3, "expert_hidden_size": 8} | settings
    handle = pa.attach(host, config)
    kit.disturb(handle)
    assert not torch.equal(kit.logits(host, inputs), kit.logits(make_host(), inputs)), "the adapter must do something"
    check_round_trip(kit, handle, make_host, inputs, tmp_path / "new" / "adapter")


def test_exact_with_projector_and_lora(kit, full, make_host, inputs, tmp_path):
    check_round_trip(kit, full, make_host, inputs, tmp_path / "adapter")
    assert sorted(p.name for p in (tmp_path / "adapter").rglob("*") if p.is_file()) == [
        "README.md",
        "adapter_config.json",
        "adapter_config.json",
        "adapter_model.safetensors",
        "adapter_model.safetensors",
        "projector.safetensors",
    ]


def test_the_check_bites_when_a_weight_is_lost(kit, host, make_host, inputs, tmp_path, small, monkeypatch):
    handle = pa.attach(host, small)
    kit.disturb(handle)
    from parrot_adapters.adapter import save

    whole = save.save_tensors

    def rounded(tensors, path):
        return whole({name: value.bfloat16().float() for name, value in tensors.items()}, path)

    monkeypatch.setattr(save, "save_tensors", rounded)
    with pytest.raises(AssertionError, match="changed"):
        check_round_trip(kit, handle, make_host, inputs, tmp_path / "adapter")


def test_disabled_at_saving_time_makes_no_difference(full, tmp_path):
    full.save_pretrained(tmp_path / "active")
    with full.disabled():
        full.save_pretrained(tmp_path / "disabled")
    for name in ("adapter_model.safetensors", "projector.safetensors", "llm_lora/adapter_model.safetensors"):
        assert (tmp_path / "active" / name).read_bytes() == (tmp_path / "disabled" / name).read_bytes()
    active, disabled = (json.loads((tmp_path / d / "adapter_config.json").read_text()) for d in ("active", "disabled"))
    assert active == disabled


def test_dtype_is_kept(kit, make_host, inputs, small, tmp_path):
    host = make_host(dtype=torch.bfloat16)
    handle = pa.attach(host, small)
    assert {p.dtype for p in handle.module.parameters()} == {torch.float32}, "a new adapter trains in float32"
    handle.module.to(torch.bfloat16)
    kit.disturb(handle)
    handle.save_pretrained(tmp_path / "adapter")
    other = make_host(dtype=torch.bfloat16)
    again = pa.load_adapter(other, tmp_path / "adapter", strict=True)
    assert {p.dtype for p in again.module.parameters()} == {torch.bfloat16}
    assert torch.equal(kit.logits(other, inputs), kit.logits(host, inputs))


def test_the_same_host_in_another_precision_is_the_same_host(saved, make_host):
    pa.load_adapter(make_host(dtype=torch.bfloat16), saved, strict=True)


def test_with_head_and_without_head_are_one_host(saved, make_host):
    pa.load_adapter(make_host().model, saved, strict=True)


def test_loaded_weights_outlive_their_directory(kit, saved, make_host, inputs):
    host = make_host()
    pa.load_adapter(host, saved)
    before = kit.logits(host, inputs)
    shutil.rmtree(saved)
    assert torch.equal(kit.logits(host, inputs), before)


def test_saving_over_another_adapter_leaves_only_the_new_one_and_foreign_files(kit, full, host, small, tmp_path):
    target = tmp_path / "adapter"
    full.save_pretrained(target)
    (target / "trainer_state.json").write_text("{}")
    (target / "llm_lora" / "notes.txt").write_text("mine")
    full.detach()
    handle = pa.attach(host, small)
    kit.disturb(handle, seed=5)
    handle.save_pretrained(target)
    assert sorted(str(p.relative_to(target)) for p in target.rglob("*") if p.is_file()) == [
        "README.md",
        "adapter_config.json",
        "adapter_model.safetensors",
        "llm_lora/notes.txt",
        "trainer_state.json",
    ]
    handle.detach()
    again = pa.load_adapter(host, target, strict=True)
    kit.assert_same_bits(kit.bits(again.module), kit.bits(handle.module))


def test_a_detached_adapter_is_not_saved(full, tmp_path):
    full.detach()
    with pytest.raises(pa.ParrotError, match="was detached"):
        full.save_pretrained(tmp_path / "adapter")
    assert not (tmp_path / "adapter").exists()


def test_a_file_in_the_way(full, tmp_path):
    (tmp_path / "adapter").write_text("a file")
    with pytest.raises(pa.ParrotError, match="it is a file"):
        full.save_pretrained(tmp_path / "adapter")


def test_the_card_says_how_to_load(saved):
    card = (saved / "README.md").read_text("utf-8")
    assert "pa.load_adapter(model" in card
    assert "LlavaForConditionalGeneration" in card


def test_weights_that_an_expert_shares_stay_shared(kit, host, make_host, inputs, tmp_path):
    from parrot_adapters import core

    class Symmetric(core.SwiGLUExperts):
        """Gate and up projection are one parameter."""

        def __init__(self, width, hidden_size, num_experts):
            super().__init__(width, hidden_size, num_experts)
            self.up = self.gate

    class Plugin:
        @pa.hookimpl
        def register_experts(self, register):
            register("symmetric", Symmetric)

    name = pa.plugins.register(Plugin(), "symmetric_plugin")
    try:
        handle = pa.attach(host, {"expert": "symmetric", "num_experts": 2, "expert_hidden_size": 4})
        kit.disturb(handle)
        check_round_trip(kit, handle, make_host, inputs, tmp_path / "adapter")
        again = pa.load_adapter(make_host(), tmp_path / "adapter").module.experts
    finally:
        pa.plugins.manager.unregister(name)
    assert again.up is again.gate


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"target_modules": "all-linear"},
        {"target_modules": r"model\.language_model\.layers\.1\..*\.o_proj"},
        {"use_dora": True},
        {"use_rslora": True, "rank_pattern": {"q_proj": 3}},
        {"init_lora_weights": "gaussian", "exclude_modules": ["v_proj"]},
    ],
    ids=["plain", "all linear", "one layer", "dora", "rank pattern", "exclusions"],
)
def test_kinds_of_lora(kit, host, make_host, inputs, small, tmp_path, settings):
    kit.logits(host, inputs)  # transformers puts hooks of its own on the vision tower when it first runs
    with kit.Untouched(host):
        handle = pa.attach(host, small, lora=kit.LORA | settings)
        kit.disturb(handle)
        check_round_trip(kit, handle, make_host, inputs, tmp_path / "adapter")
        handle.detach()


def test_a_loaded_adapter_can_be_trained_further(full, make_host, tmp_path):
    full.save_pretrained(tmp_path / "adapter")
    again = pa.load_adapter(make_host(), tmp_path / "adapter")
    assert all(p.requires_grad for p in again.parameters())
    assert len(list(again.parameters())) == len(list(full.parameters()))
