"""LoRA of one adapter in another (``load_lora``), and in the host's own weights (``merge_lora``)."""

from __future__ import annotations

import pytest
import torch

import parrot_adapters as pa
from parrot_adapters.errors import CheckpointError, ConfigError, HostError, HostMismatchError

KINDS = {
    "plain": {},
    "scaled": {"lora_alpha": 5, "use_rslora": True},
    "dora": {"use_dora": True},
}


def attached(kit, host, small, **settings):
    handle = pa.attach(host, small, train_projector=True, lora={**kit.LORA, **settings})
    kit.disturb(handle)
    return handle


@pytest.mark.parametrize("kind", KINDS)
def test_taken_over_whole(kit, make_host, small, inputs, tmp_path, kind):
    handle = attached(kit, make_host(), small, **KINDS[kind])
    handle.save_pretrained(tmp_path / "one")
    wanted = kit.logits(handle.model, inputs)
    again = pa.load_adapter(make_host(), tmp_path / "one")
    other = pa.attach(make_host(), small, train_projector=True, lora=again.lora_config)
    other.require_module().load_state_dict(again.require_module().state_dict())
    other.load_projector(tmp_path / "one")
    assert not torch.equal(kit.logits(other.model, inputs), wanted)
    other.load_lora(tmp_path / "one")
    assert torch.equal(kit.logits(other.model, inputs), wanted)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("enabled", [True, False])
@pytest.mark.few(2)
def test_merged_it_answers_alike_and_is_the_hosts(kit, make_host, small, inputs, tmp_path, kind, enabled):
    handle = attached(kit, make_host(), small, **KINDS[kind])
    wanted = kit.logits(handle.model, inputs)
    with handle.disabled():
        bare = kit.logits(handle.model, inputs)
    if not enabled:
        handle.disable()
    handle.merge_lora()
    handle.enable()
    torch.testing.assert_close(kit.logits(handle.model, inputs), wanted, rtol=1e-4, atol=1e-5)
    assert handle.lora_config is None
    handle.save_pretrained(tmp_path / "adapter")
    handle.model.save_pretrained(tmp_path / "host")
    assert not (tmp_path / "adapter" / "llm_lora").exists()
    loaded = type(handle.model).from_pretrained(tmp_path / "host").eval()
    again = pa.load_adapter(loaded, tmp_path / "adapter", strict=True)
    torch.testing.assert_close(
        kit.logits(again.model, inputs),
        wanted,
        rtol=1e-4,
        atol=1e-5,
    )
    handle.detach()
    names = make_host().state_dict().keys()
    assert handle.model.state_dict().keys() == names
    assert not torch.equal(kit.logits(handle.model, inputs), bare)


def test_a_sum_is_rounded_once(kit, make_host, small):
    """In a bfloat16 host: exactly the float32 sum, to the nearest bfloat16."""
    handle = attached(kit, make_host(dtype=torch.bfloat16), small)
    layers = {n: m for n, m in handle.model.named_modules() if hasattr(m, "lora_A") and hasattr(m, "get_base_layer")}
    wanted = {}
    for name, layer in layers.items():
        (a,), (b,) = layer.lora_A.values(), layer.lora_B.values()
        scale = handle.lora_config.lora_alpha / handle.lora_config.r
        wanted[name] = layer.get_base_layer().weight.float() + scale * (b.weight.float() @ a.weight.float())
    handle.merge_lora()
    assert len(wanted) == 4
    for name, value in wanted.items():
        merged = handle.model.get_submodule(name).weight
        assert merged.dtype == torch.bfloat16
        assert torch.equal(merged, value.bfloat16())


@pytest.mark.parametrize("enabled", [True, False])
def test_weights_are_loaded_whether_or_not_it_is_on(kit, make_host, small, inputs, tmp_path, enabled):
    handle = attached(kit, make_host(), small)
    handle.save_pretrained(tmp_path / "one")
    other = attached(kit, make_host(), small)
    kit.disturb(other, seed=5)
    if not enabled:
        other.disable()
    other.load_lora(tmp_path / "one")
    other.enable()
    other.load_projector(tmp_path / "one")
    other.require_module().load_state_dict(handle.require_module().state_dict())
    assert torch.equal(kit.logits(other.model, inputs), kit.logits(handle.model, inputs))


def test_refusals(kit, make_host, small, saved, tmp_path):
    handle = attached(kit, make_host(), small)
    handle.save_pretrained(tmp_path / "one")
    with pytest.raises(CheckpointError, match="has no LoRA"):
        handle.load_lora(saved)
    with pytest.raises(CheckpointError, match="not an adapter directory"):
        handle.load_lora(tmp_path)
    with pa.load_adapter(make_host(), saved) as plain:
        for call in (plain.merge_lora, lambda: plain.load_lora(tmp_path / "one")):
            with pytest.raises(HostError, match="no LoRA"):
                call()
    with pytest.raises(HostError, match="detached"):
        plain.merge_lora()
    before = kit.bits(handle.model)
    for settings in ({"r": 4}, {"use_dora": True}, {"target_modules": ["q_proj"]}, {"lora_alpha": 1}):
        other = attached(kit, make_host(), small, **settings)
        with pytest.raises(ConfigError, match=r"(?s)of another kind.*there .*, here "):
            other.load_lora(tmp_path / "one")
    attached(kit, make_host(), small, lora_dropout=0.5, init_lora_weights="gaussian").load_lora(tmp_path / "one")
    with pytest.raises(HostMismatchError):
        attached(kit, make_host(width=32), small).load_lora(tmp_path / "one")
    assert all(torch.equal(value, before[name]) for name, value in kit.bits(handle.model).items())
