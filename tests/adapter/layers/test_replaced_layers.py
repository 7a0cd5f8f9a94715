"""What stands in a layer's place changes: the experts add to whatever stands there, and to all of what it answers."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from peft import HRAConfig, IA3Config, LoraConfig, OFTConfig, PeftModel, get_peft_model
from support.layers_by_hand import adapter, logits, trained
from support.tiers import late_unless
from torch import nn
from torch.testing import assert_close

import parrot_adapters as pa
from parrot_adapters.hosts import layer_sites
from parrot_adapters.hosts.layer_sites import LayerSites

pytestmark = [
    pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning"),  # peft itself
    pytest.mark.parametrize("family", ["llava"], indirect=True),
]
LAYERS = r".*language_model.*\.(q_proj|o_proj)"
KINDS = {  # what peft does around a layer
    "scales its answer": lambda: LoraConfig(r=2, target_modules=LAYERS, use_dora=True),
    "scales it by element": lambda: IA3Config(target_modules=LAYERS, feedforward_modules=[]),
    "turns its input": lambda: OFTConfig(oft_block_size=4, target_modules=LAYERS),
    "never calls it": lambda: HRAConfig(r=2, target_modules=LAYERS),
}


@torch.no_grad()
def stir(parameters: Any) -> None:
    drawn = torch.Generator().manual_seed(5)
    for parameter in parameters:
        parameter.add_(0.3 * torch.randn(parameter.shape, generator=drawn))


def check_merging(family: Any, inputs: Any, kind: str) -> None:
    wrapped = get_peft_model(family.build(), KINDS[kind]())
    stir(p for p in wrapped.parameters() if p.requires_grad)
    bare = logits(wrapped, inputs)
    handle = trained(pa.attach(wrapped, adapter(family)))
    before = logits(wrapped, inputs)
    wrapped.train()(**inputs, labels=inputs["input_ids"]).loss.backward()
    assert all(p.grad is not None and p.grad.any() for p in handle.module.layer_experts.parameters())
    merged = wrapped.eval().merge_and_unload()
    assert (before - bare).abs().max() > 1e-2
    assert_close(logits(merged, inputs), before, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", late_unless(["never calls it"], KINDS))
def test_merging_what_peft_put_there_changes_no_answer(family, inputs, kind: str) -> None:
    check_merging(family, inputs, kind)


@pytest.mark.parametrize("kind", late_unless(["never calls it"], KINDS))
def test_a_hook_inside_the_wrapper_is_caught(family, inputs, kind: str, monkeypatch) -> None:
    def inside(self: LayerSites) -> None:
        for path, (parent, name) in self._places.items():
            here = getattr(parent._modules[name], "base_layer", parent._modules[name])
            if path not in self._hooks:
                made = layer_sites._AddExperts(path, self.experts.call(path), self.calls)
                self._hooks[path] = here, here.register_forward_hook(made)

    monkeypatch.setattr(LayerSites, "follow", inside)
    with pytest.raises(AssertionError):
        check_merging(family, inputs, kind)


def test_peft_may_come_later(family, inputs, tmp_path) -> None:
    first = get_peft_model(family.build(), KINDS["scales its answer"]())
    stir(p for p in first.parameters() if p.requires_grad)
    first.save_pretrained(tmp_path)
    trained(pa.attach(first, adapter(family)))
    host = family.build()
    trained(pa.attach(host, adapter(family)))
    later = PeftModel.from_pretrained(host, tmp_path)
    assert torch.equal(logits(later, inputs), logits(first, inputs))


def test_another_layer_may_take_its_place(family, host, inputs) -> None:
    """As libraries that quantise do."""

    class Other(nn.Linear):
        pass

    handle = trained(pa.attach(host, adapter(family)))
    before, bare = logits(host, inputs), logits(family.build(), inputs)
    for module in list(host.modules()):
        if isinstance(old := getattr(module, "q_proj", None), nn.Linear):
            module.q_proj = Other(old.in_features, old.out_features, bias=old.bias is not None)
            module.q_proj.weight, module.q_proj.bias = old.weight, old.bias
    assert torch.equal(logits(host, inputs), before)
    handle.detach()
    assert torch.equal(logits(host, inputs), bare)


def test_its_own_lora_may_scale_and_be_merged(family, host, inputs) -> None:
    handle = trained(pa.attach(host, adapter(family), lora=KINDS["scales its answer"]()))
    stir(handle.carried.lora.parameters())
    before = logits(host, inputs)
    handle.merge_lora()
    assert_close(logits(host, inputs), before, rtol=1e-4, atol=1e-5)


def test_rows_with_such_lora_are_what_they_are_alone(family, host, inputs) -> None:
    handle = trained(pa.attach(host, adapter(family), lora=KINDS["scales its answer"]()))
    stir(handle.carried.lora.parameters())
    alone = logits(host, inputs)
    with handle.adapter_names(["default", None, "default"]):
        rows = logits(host, inputs)
    assert_close(rows[[0, 2]], alone[[0, 2]], rtol=1e-4, atol=1e-5)
    assert torch.equal(rows[1], logits(family.build(), inputs)[1])
