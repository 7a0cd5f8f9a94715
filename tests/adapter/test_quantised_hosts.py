"""A fingerprint reads what weights are, not how they are stored.

The stand-in keeps a matrix as bitsandbytes keeps eight bits: its class's name, integers, and a scale for each row.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

import parrot_adapters as pa
from parrot_adapters.errors import HostError, HostMismatchError
from parrot_adapters.hosts.fingerprint import fingerprint, structure_differences, weights_differ
from parrot_adapters.hosts.host_parts import find_parts
from parrot_adapters.hosts.quantised_weights import full_state


class Int8Params(nn.Parameter):
    SCB: torch.Tensor | None = None


class EightBits(nn.Linear):
    def __init__(self, of: nn.Linear) -> None:
        super().__init__(of.in_features, of.out_features)
        scale = of.weight.detach().abs().amax(1)
        stored = Int8Params((of.weight.detach() / scale[:, None] * 127).round().to(torch.int8), requires_grad=False)
        stored.SCB = scale
        self.weight, self.bias = stored, of.bias
        self.register_buffer("weight_format", torch.tensor(0, dtype=torch.uint8))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        assert isinstance(self.weight, Int8Params)
        assert self.weight.SCB is not None
        return nn.functional.linear(x, self.weight.float() * self.weight.SCB[:, None] / 127, self.bias)


class FourBits(nn.Linear):
    """As bitsandbytes keeps four bits on some CPUs: packed anew at the first answer, and blind to gradients then."""

    def __init__(self, of: nn.Linear) -> None:
        super().__init__(of.in_features, of.out_features)
        self.weight, self.bias = nn.Parameter(of.weight.detach().clone(), requires_grad=False), of.bias
        self.weight.quant_state = SimpleNamespace(packing_format_for_cpu=False)  # type: ignore[attr-defined]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        state: Any = self.weight.quant_state  # type: ignore[attr-defined]
        if not (self.training or x.requires_grad):
            state.packing_format_for_cpu = True
        return super().forward(x.detach() if state.packing_format_for_cpu else x)

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        self.weight.quant_state.packing_format_for_cpu = False  # type: ignore[attr-defined]
        super()._save_to_state_dict(destination, prefix, keep_vars)


class Blind(EightBits):
    """As torchao keeps what quantises its input as well: the answer has no graph."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            return super().forward(x)


def in_four_bits(host: Any, kind: type = FourBits) -> Any:
    for attention in (layer.self_attn for layer in host.model.language_model.layers):
        for name in ("q_proj", "k_proj", "v_proj", "o_proj"):
            setattr(attention, name, kind(getattr(attention, name)))
    return host.eval()


def quantised(host: Any) -> Any:
    projector = host.model.multi_modal_projector
    projector.linear_1, projector.linear_2 = EightBits(projector.linear_1), EightBits(projector.linear_2)
    return host


def look(host: Any) -> dict[str, Any]:
    return fingerprint(find_parts(host))


def test_a_quantised_host_is_the_same_host(make_host):
    full, eight = look(make_host()), look(quantised(make_host()))
    assert eight["weights"] is None, "stored otherwise, so not to be compared bit for bit"
    for saved, here in ((full, eight), (eight, full), (eight, eight)):
        assert structure_differences(saved, here) == []
        assert not weights_differ(saved, here)


def test_another_host_is_another_one_when_quantised_too(make_host):
    eight, other = look(quantised(make_host())), look(quantised(make_host(seed=1)))
    assert weights_differ(eight, other)
    same_embeddings = {**other, "embeddings": eight["embeddings"]}
    assert weights_differ(eight, same_embeddings), "the projector alone tells"
    assert weights_differ(eight, {**eight, "embeddings": other["embeddings"]}), "and so do the embeddings"


def test_the_values_are_nearly_those_that_were_quantised(make_host):
    full = make_host().model.multi_modal_projector
    eight = quantised(make_host()).model.multi_modal_projector
    state, approximate = full_state(eight, eight.state_dict())
    assert state.keys() == full.state_dict().keys()
    assert approximate == {"linear_1.weight", "linear_2.weight"}
    for name, value in full.state_dict().items():
        assert (state[name] - value).abs().max() <= value.abs().max() / 127


def test_an_adapter_goes_from_full_to_quantised_and_back(kit, make_host, small, inputs, tmp_path):
    handle = pa.attach(quantised(make_host()), small)
    kit.disturb(handle)
    handle.save_pretrained(tmp_path / "eight")
    again = quantised(make_host())
    pa.load_adapter(again, tmp_path / "eight", strict=True)
    assert torch.equal(kit.logits(again, inputs), kit.logits(handle.model, inputs))
    pa.load_adapter(make_host(), tmp_path / "eight", strict=True)
    with pytest.raises(HostMismatchError):
        pa.load_adapter(make_host(seed=1), tmp_path / "eight", strict=True)


@pytest.mark.parametrize("placement", ["projector", "layers"])
def test_a_host_that_has_answered_is_trained_all_the_same(kit, make_host, inputs, placement):
    handle = pa.attach(in_four_bits(make_host()), {"placement": placement, "num_experts": 2})
    host = handle.model
    kit.logits(host, inputs)
    assert host.model.language_model.layers[0].self_attn.q_proj.weight.quant_state.packing_format_for_cpu
    host.train()
    host(**inputs).logits[:, -1].square().sum().backward()
    assert max(float(p.grad.abs().max()) for p in handle.parameters() if p.grad is not None) > 0


def test_a_host_that_no_gradient_goes_through_is_refused_in_training(kit, make_host, inputs):
    handle = pa.attach(in_four_bits(make_host(), Blind), {"placement": "layers", "num_experts": 2})
    handle.model(**inputs)  # answers are right
    with pytest.raises(HostError, match=r"q_proj, a Blind with weights of class Int8Params"):
        handle.model.train()(**inputs)
    sound = pa.attach(in_four_bits(make_host(), EightBits), {"placement": "layers", "num_experts": 2}).model
    sound.train()(**inputs)


def test_a_quantised_projector_that_is_packed_anew_is_refused_as_any(make_host, small, monkeypatch):
    host = quantised(make_host())
    layer = host.model.multi_modal_projector.linear_1
    own = EightBits._save_to_state_dict

    def packs(self: Any, *args: Any) -> None:
        own(self, *args)
        if self is layer:
            self.weight.data = self.weight.data.flatten()

    monkeypatch.setattr(EightBits, "_save_to_state_dict", packs)
    with pytest.raises(HostError, match=r"llm_int8_skip_modules=\['model.multi_modal_projector', 'lm_head'\]"):
        pa.attach(host, small, train_projector=True)
    assert pa.attachment_of(host) is None
