"""The adapter and peft on one host, in either order: each trains, is saved and comes back, or is refused."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from peft import IA3Config, LoraConfig, PeftModel, PromptTuningConfig, VeraConfig, get_peft_model
from support.adapters import same, weights

import parrot_adapters as pa
from parrot_adapters.errors import CheckpointError, HostError, HostMismatchError
from parrot_adapters.hosts.peft_layers import PeftLayers

pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning")

KINDS = {
    "lora": lambda: LoraConfig(r=2, target_modules=["q_proj"]),
    "all-linear": lambda: LoraConfig(r=2, target_modules="all-linear"),
    "dora": lambda: LoraConfig(r=2, target_modules=["q_proj"], use_dora=True),
    "ia3": lambda: IA3Config(target_modules=["v_proj", "down_proj"], feedforward_modules=["down_proj"]),
    "vera": lambda: VeraConfig(r=2, target_modules=["q_proj"]),
}


@torch.no_grad()
def stir(model: Any, seed: int = 5) -> None:
    """Noise on what trains."""
    drawn = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=drawn))


def test_names_without_peft(make_host):
    host = make_host()
    names = set(host.state_dict())
    wrapped = get_peft_model(host, LoraConfig(r=2, target_modules="all-linear", modules_to_save=["lm_head"]))
    peft = PeftLayers(wrapped.get_base_model())
    assert set(peft.bare(wrapped.get_base_model().state_dict())) == names
    assert peft.added()
    assert all("lora_" in name or "modules_to_save" in name for name in peft.added())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.few(2)
def test_peft_then_attach_trains_saves_and_comes_back(kit, make_host, small, inputs, tmp_path, kind):
    wrapped = get_peft_model(make_host(), KINDS[kind]())
    of_peft = {name for name, p in wrapped.named_parameters() if p.requires_grad}
    handle = pa.attach(wrapped, small)
    handle.freeze_host()
    trained = {name for name, p in wrapped.named_parameters() if p.requires_grad}
    assert of_peft
    assert of_peft < trained
    assert len(trained - of_peft) == len(list(handle.parameters()))
    stir(wrapped)
    wrapped.save_pretrained(tmp_path / "both")
    again = PeftModel.from_pretrained(make_host(), tmp_path / "both")
    pa.load_adapter(again, tmp_path / "both", strict=True)
    state, loaded = wrapped.state_dict(), again.state_dict()
    assert state.keys() == loaded.keys()
    assert all(torch.equal(state[name], loaded[name]) for name in state)
    # peft alone, too, gives other last bits after loading LoRA on all layers.
    torch.testing.assert_close(kit.logits(again, inputs), kit.logits(wrapped, inputs), rtol=0, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_an_adapter_without_the_peft_weights_it_trained_beside(make_host, small, tmp_path, kind):
    wrapped = get_peft_model(make_host(), KINDS[kind]())
    handle = pa.attach(wrapped, small)
    stir(wrapped)
    handle.save_pretrained(tmp_path / "adapter")
    with pytest.raises(HostMismatchError, match="beside weights of peft"):
        pa.load_adapter(make_host(), tmp_path / "adapter", strict=True)
    with pytest.warns(pa.ParrotWarning, match="beside weights of peft"):
        pa.load_adapter(make_host(), tmp_path / "adapter")


def test_an_adapter_made_without_peft_loads_beside_new_lora(make_host, small, saved):
    pa.load_adapter(get_peft_model(make_host(), KINDS["all-linear"]()), saved, strict=True)


def test_a_trainer_resumes_a_peft_model_with_its_adapter(make_host, small, trainer_of):
    def made() -> tuple[Any, Any]:
        torch.manual_seed(0)
        wrapped = get_peft_model(make_host(), KINDS["lora"]())
        handle = pa.attach(wrapped, small)
        stir(wrapped)
        return wrapped, handle

    def trained(wrapped: Any) -> list[torch.Tensor]:
        return [p.detach().clone() for p in wrapped.parameters() if p.requires_grad]

    (whole, _), (first, _), (second, handle) = made(), made(), made()
    start = weights(handle)
    trainer_of(whole, "whole", 4).train()
    trainer_of(first, "halves", 2).train()
    trainer_of(second, "halves", 4).train(resume_from_checkpoint=True)
    assert same(trained(whole), trained(second))
    assert not same(weights(handle), start)


def test_a_checkpoint_of_peft_alone_is_refused(make_host, small, trainer_of):
    trainer_of(get_peft_model(make_host(), KINDS["lora"]()), "run", 2).train()
    wrapped = get_peft_model(make_host(), KINDS["lora"]())
    pa.attach(wrapped, small)
    with pytest.raises(CheckpointError, match="would not be resumed"):
        trainer_of(wrapped, "run", 4).train(resume_from_checkpoint=True)


def test_another_lora_loads_into_a_peft_model_with_an_adapter(make_host, small, tmp_path):
    get_peft_model(make_host(), KINDS["lora"]()).save_pretrained(tmp_path / "other")
    wrapped = get_peft_model(make_host(), KINDS["lora"]())
    before = weights(pa.attach(wrapped, small))
    wrapped.load_adapter(str(tmp_path / "other"), "other")
    assert same(weights(pa.attachment_of(wrapped)), before)


def test_attach_then_peft_says_that_the_adapter_is_frozen_and_does_not_train(make_host, small, inputs):
    host = make_host()
    pa.attach(host, small)
    wrapped = get_peft_model(host, KINDS["lora"]())
    with pytest.warns(pa.ParrotWarning, match="it freezes the adapter"):
        wrapped(**inputs)
    with pytest.raises(HostError, match="first, then attach"):
        wrapped.train()(**inputs)


@pytest.mark.parametrize("how", ["thawed again", "prompt tuning"])
def test_a_peft_model_around_an_adapter_that_it_would_not_save_is_refused(make_host, small, inputs, how):
    host = make_host()
    handle = pa.attach(host, small)
    config = PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=2) if how == "prompt tuning" else None
    wrapped = get_peft_model(host, config or KINDS["lora"]()).train()
    if config is None:
        handle.freeze_host()
    with pytest.raises(HostError, match="first, then attach"):
        wrapped(**inputs)
    with pytest.raises(HostError, match="first, then attach"):
        wrapped(**inputs)


def test_an_adapter_that_peft_has_frozen_in_part_is_refused(make_host, small, inputs):
    wrapped = get_peft_model(make_host(), KINDS["lora"]()).train()
    handle = pa.attach(wrapped, small)
    handle.module.router.requires_grad_(False)
    wrapped(**inputs)  # on purpose
    wrapped.add_weighted_adapter(["default"], [0.5], "experts", combination_type="linear")
    # peft has frozen all tensors with that word in their names
    with pytest.raises(HostError, match=r"peft \(experts\)"):
        wrapped(**inputs)


def test_an_adapter_frozen_on_purpose_is_left_in_peace(make_host, small, inputs):
    wrapped = get_peft_model(make_host(), KINDS["lora"]()).train()
    handle = pa.attach(wrapped, small)
    handle.module.requires_grad_(False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        wrapped(**inputs, labels=inputs["input_ids"]).loss.backward()


def test_modules_to_save_may_name_the_adapter(kit, make_host, small, inputs, tmp_path):
    host = make_host()
    handle = pa.attach(host, small)
    config = LoraConfig(r=2, target_modules=["q_proj"], modules_to_save=["parrot_adapter"])
    wrapped = get_peft_model(host, config)
    stir(wrapped)
    wrapped(**inputs, labels=inputs["input_ids"]).loss.backward()
    assert all(p.requires_grad and p.grad is not None for p in handle.module.parameters())
    wrapped.save_pretrained(tmp_path / "peft")
    other = make_host()
    pa.attach(other, small)
    again = PeftModel.from_pretrained(other, tmp_path / "peft")
    assert torch.equal(kit.logits(again, inputs), kit.logits(wrapped, inputs))
    assert not torch.equal(kit.logits(again, inputs), kit.logits(make_host(), inputs))
    handle.save_pretrained(tmp_path / "adapter")
    alone = make_host()
    with pytest.warns(pa.ParrotWarning, match="beside weights of peft"):
        loaded = pa.load_adapter(alone, tmp_path / "adapter")
    assert same(weights(loaded), weights(handle))


def test_merging_lora_after_attaching_is_a_changed_host(make_host, small, tmp_path):
    wrapped = get_peft_model(make_host(), KINDS["lora"]())
    handle = pa.attach(wrapped, small)
    stir(wrapped)
    wrapped.merge_and_unload()
    with pytest.raises(HostMismatchError, match="q_proj"):
        handle.save_pretrained(tmp_path / "adapter")


def test_unloading_lora_leaves_the_adapter(kit, make_host, small, inputs, tmp_path):
    wrapped = get_peft_model(make_host(), KINDS["lora"]())
    handle = pa.attach(wrapped, small)
    stir(wrapped)
    host = wrapped.unload()
    handle.save_pretrained(tmp_path / "adapter")
    other = make_host()
    pa.load_adapter(other, tmp_path / "adapter", strict=True)
    assert torch.equal(kit.logits(other, inputs), kit.logits(host, inputs))


def test_several_loras(kit, make_host, small, inputs, tmp_path):
    wrapped = get_peft_model(make_host(), KINDS["lora"]())
    wrapped.add_adapter("second", LoraConfig(r=2, target_modules=["v_proj"]))
    handle = pa.attach(wrapped, small)
    stir(wrapped)
    kit.disturb(handle)
    wrapped.save_pretrained(tmp_path / "both")
    again = PeftModel.from_pretrained(make_host(), tmp_path / "both")
    again.load_adapter(str(tmp_path / "both" / "second"), "second")
    pa.load_adapter(again, tmp_path / "both")
    for name in ("default", "second"):
        wrapped.set_adapter(name)
        again.set_adapter(name)
        assert torch.equal(kit.logits(again, inputs), kit.logits(wrapped, inputs))


def test_detaching_gives_the_peft_model_back(make_host, small):
    wrapped = get_peft_model(make_host(), KINDS["lora"]())
    before = sorted(vars(wrapped))
    pa.attach(wrapped, small).detach()
    assert sorted(vars(wrapped)) == before
    assert not wrapped.base_model._forward_pre_hooks
