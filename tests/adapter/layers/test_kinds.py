"""Kinds of experts inside the layers: the gated one, and a stranger's, found by name like any other part."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from miniatures import FAMILIES, PROMPTS, Family
from support.layers_by_hand import adapter, decode, logits, trained
from support.tiers import late_unless
from torch import nn
from torch.testing import assert_close

import parrot_adapters as pa
from parrot_adapters.adapter.fold_experts import freeze_routing
from parrot_adapters.errors import ConfigError, PluginError, RoutingError, UnknownNameError
from parrot_adapters.plugins import manager

KINDS = ("gated", "bent", "reading")
CONDITIONED = {"expert": "conditioned-swiglu"}


class Bent(nn.Module):
    """A stranger's: no base class, no option of ours, not linear in the token."""

    per_expert = ("inside", "out")

    def __init__(self, in_features: int, out_features: int, num_experts: int, rank: int, width: int, bend: float = 1.0):
        super().__init__()
        self.bend = bend
        self.inside = nn.Parameter(torch.randn(num_experts, in_features, rank) / in_features**0.5)
        self.out = nn.Parameter(torch.zeros(num_experts, rank, out_features))

    def forward(self, tokens: Any, weights: Any, context: Any) -> Any:
        assert context is None
        hidden = (self.bend * torch.einsum("ni,eir->ner", tokens, self.inside)).tanh()
        return torch.einsum("ne,ner,ero->no", weights, hidden, self.out)


class Reading(nn.Module):
    """A stranger's that reads the context and keeps its parameters further in."""

    needs_context = True

    def __init__(self, in_features: int, out_features: int, num_experts: int, rank: int, width: int):
        super().__init__()
        self.inner = nn.ModuleDict({"a": nn.Linear(in_features, rank), "b": nn.Linear(width, rank)})
        self.out = nn.Linear(rank, out_features, bias=False)
        nn.init.zeros_(self.out.weight)

    def forward(self, tokens: Any, weights: Any, context: Any) -> Any:
        return self.out(self.inner["a"](tokens) * self.inner["b"](context).tanh()) * weights[:, :1]


class Wide(Bent):
    def forward(self, tokens: Any, weights: Any, context: Any) -> Any:
        return super().forward(tokens, weights, context)[:, :-1]


class Plugin:
    @staticmethod
    @pa.hookimpl
    def register_layer_experts(register: Any) -> None:
        for name, factory in (("bent", Bent), ("reading", Reading), ("wide", Wide)):
            register(name, factory)


@pytest.fixture(autouse=True)
def _plugin() -> Iterator[None]:
    name = pa.plugins.register(Plugin(), "strange-layers")
    yield
    manager.unregister(name)


@pytest.fixture(params=late_unless(["llava"], ["llava", "qwen2_5_vl", "gemma3", "idefics3"]))
def some(request: Any) -> Family:
    return FAMILIES[request.param]


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_on_a_host(kind: str, some: Family, tmp_path: Any) -> None:
    """The identity untrained; trained, generate is forward, text alone the bare host's to the bit; by name on disk."""
    host, inputs = some.build().requires_grad_(False), some.batch(PROMPTS)
    bare = logits(host, inputs)
    handle = pa.attach(host, adapter(some, layer_expert=kind))
    assert torch.equal(logits(host, inputs), bare)
    trained(handle)
    after = logits(host, inputs)
    assert (after - bare)[:2].abs().amax((1, 2)).min() > 1e-3
    assert torch.equal(after[2], bare[2])
    assert_close(decode(host, inputs).logits[0], after[:, -1], rtol=1e-4, atol=1e-4)
    with handle.disabled():
        assert torch.equal(logits(host, inputs), bare)

    host.train()
    loss = host(**inputs).logits[:2].square().sum()
    loss.backward()
    host.eval()
    idle = [name for name, p in handle.module.layer_experts.named_parameters() if p.grad is None or not p.grad.any()]
    assert idle == []

    handle.save_pretrained(tmp_path / "adapter")
    handle.detach()
    again = pa.load_adapter(host, tmp_path / "adapter")
    assert again.config.layer_expert == kind
    assert torch.equal(logits(host, inputs), after)


@pytest.mark.parametrize("kind", ["gated", "reading"])
def test_the_context_travels_through_generate_in_half_precision(kind: str) -> None:
    family = FAMILIES["llava"]
    host = family.build().to(torch.bfloat16)
    inputs = {k: v.bfloat16() if v.is_floating_point() else v for k, v in family.batch(PROMPTS[:2]).items()}
    handle = trained(pa.attach(host, adapter(family, layer_expert=kind, placement="both")))
    after = logits(host, inputs)
    with handle.disabled():
        effect = (after - logits(host, inputs))[:, -1].abs().max().item()
    found = decode(host, inputs, num_beams=2).logits[0].to(torch.bfloat16)
    assert_close(found, after[:, -1].repeat_interleave(2, 0), rtol=0, atol=0.05 * effect)


def test_another_question_opens_other_units() -> None:
    """One expert, so that the weights say nothing: what changes with the words is the gate."""
    family = FAMILIES["llava"]
    host = family.build()
    handle = trained(pa.attach(host, adapter(family, layer_expert="gated", num_experts=1)))
    at = handle.module.layer_experts.paths[0]
    seen: list[torch.Tensor] = []
    hook = handle.module.layer_experts.at(at).register_forward_hook(lambda module, args, output: seen.append(output))
    one, other = (*PROMPTS[0][:-1], 60), (*PROMPTS[0][:-1], 61)
    for prompt in (one, one, other):
        logits(host, family.batch([prompt]))
    hook.remove()
    assert torch.equal(seen[0], seen[1])
    assert not torch.allclose(seen[0], seen[2], rtol=1e-3)


def test_recomputed_activations_give_the_same_gradients() -> None:
    family = FAMILIES["llava"]
    found = []
    for recompute in (False, True):
        host = family.build().train()
        handle = trained(pa.attach(host, adapter(family, layer_expert="reading")))
        if recompute:
            host.activation_checkpointing_enable({"use_reentrant": False})
        host(**family.batch(PROMPTS)).logits[:2, -1].square().sum().backward()
        found.append({name: p.grad for name, p in handle.module.named_parameters()})
    for name, grad in found[0].items():
        assert_close(found[1][name], grad, rtol=1e-4, atol=1e-4)


def test_the_gated_kind_grows() -> None:
    family = FAMILIES["llava"]
    host, inputs = family.build(), family.batch(PROMPTS)
    handle = trained(pa.attach(host, adapter(family, layer_expert="gated")))
    before = logits(host, inputs)
    pa.grow(handle, 2)
    assert handle.module.layer_experts.num_experts == 5
    assert_close(logits(host, inputs), before, rtol=1e-3, atol=1e-3)


def test_what_cannot_be_is_refused(tmp_path: Any) -> None:
    family = FAMILIES["llava"]
    host = family.build()
    with pytest.raises(UnknownNameError, match=r"gate.*\n(.|\n)*gated"):
        pa.attach(host, adapter(family, layer_expert="gate"))
    with pytest.raises(ConfigError, match=r"'bent' takes no option 'layer_scale'"):
        pa.attach(host, adapter(family, layer_expert="bent", expert_options={"layer_scale": 1.0}))
    handle = pa.attach(host, adapter(family, layer_expert="wide"))
    with pytest.raises(RoutingError, match=r"Wide at layers.0.self_attn.q_proj returned shape"):
        logits(host, family.batch(PROMPTS))
    handle.detach()
    for reader in ({"layer_expert": "gated"}, {"layer_expert": "reading"}, {"placement": "both", **CONDITIONED}):
        for router in ("language-id", "uniform"):
            with pytest.raises(
                ConfigError, match=f"reads the context of its router, and router='{router}' returns none"
            ):
                pa.attach(host, adapter(family, router=router, **reader))
            assert not hasattr(host.base_model, "parrot_adapter")
    handle = pa.attach(host, adapter(family, layer_expert="bent", expert_options={"bend": 2.0}))
    assert handle.module.layer_experts.at("layers.0.self_attn.q_proj").bend == 2.0
    handle.save_pretrained(tmp_path / "bent")
    handle.detach()
    manager.unregister("strange-layers")
    with pytest.raises(PluginError, match="needs layer-expert 'bent'"):
        pa.load_adapter(host, tmp_path / "bent")


def test_a_gate_is_not_frozen(tmp_path: Any) -> None:
    family = FAMILIES["llava"]
    handle = pa.attach(family.build(), adapter(family, layer_expert="gated"))
    handle.save_pretrained(tmp_path / "gated")
    with pytest.raises(ConfigError, match="cannot be folded"):
        freeze_routing(tmp_path / "gated", tmp_path / "one", weights=[1, 1, 1])
