"""Gradient checkpointing recomputes the adapter too: less is kept, and no gradient, record, draw or count changes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from miniatures import ADAPTER, FAMILIES, PROMPTS, awake
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import parrot_adapters as pa

LLAVA = FAMILIES["llava"]
KINDS: dict[str, dict[str, Any]] = {
    "dense": {},
    "top-k": {"top_k": 2},
    "noise and balance": {"router": "top-k", "router_options": {"k": 2, "noise": 1.0, "balance_rate": 0.3}},
    "merged": {"expert": "merged"},
}


def layer(kind: str) -> pa.AlignmentLayer:
    torch.manual_seed(0)
    made = pa.build_layer(pa.AdapterConfig(num_experts=4, expert_hidden_size=32, **KINDS[kind]), 16)
    for parameter in made.parameters():
        nn.init.normal_(parameter, std=0.3)
    return made.train()


def answer(module: pa.AlignmentLayer, seed: int) -> Any:
    torch.manual_seed(seed)
    tokens, text = torch.randn(600, 16), torch.randn(2, 7, 16)
    offsets, rows = torch.tensor([0, 200, 450, 600]), torch.tensor([0, 0, 1])
    return module(tokens, offsets, rows, text, torch.ones(2, 7, dtype=torch.bool))


def gradients(module: pa.AlignmentLayer) -> dict[str, Tensor]:
    """Of two passes before one backward pass, which moves the balance between the second's and the first's."""
    one, two = answer(module, 1), answer(module, 2)
    (one.tokens.square().mean() + two.tokens.square().mean() + one.routing.logits.square().mean()).backward()
    return {name: p.grad.clone() for name, p in module.named_parameters() if p.grad is not None}


def kept_bytes(module: pa.AlignmentLayer) -> int:
    weights = {p.untyped_storage().data_ptr() for p in module.parameters()}
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        result = answer(module, 1)
    del result
    return sum(size for pointer, size in kept.items() if pointer not in weights)


@pytest.mark.parametrize("kind", KINDS)
def test_less_is_kept_and_the_gradients_are_the_same_to_the_bit(kind: str) -> None:
    plain, recomputed = layer(kind), layer(kind)
    recomputed.gradient_checkpointing = True
    assert kept_bytes(recomputed) < 0.5 * kept_bytes(plain)
    expected, found = gradients(plain), gradients(recomputed)
    assert found.keys() == expected.keys() == {name for name, _ in plain.named_parameters()}
    assert all(torch.equal(found[name], value) for name, value in expected.items())
    assert all(torch.equal(a, b) for a, b in zip(plain.buffers(), recomputed.buffers(), strict=True))


def test_nothing_runs_twice_where_nothing_is_learned() -> None:
    module, calls = layer("dense"), []
    module.gradient_checkpointing = True
    module.experts.register_forward_pre_hook(lambda *args: calls.append(1))
    with torch.no_grad():
        answer(module, 1)
    module.eval()
    answer(module, 1).tokens.sum().backward()
    assert len(calls) == 2


# --- on a host ------------------------------------------------------------------------------------------------------


def switch_on(model: Any, **options: Any) -> None:
    """By either name: transformers renamed it."""
    getattr(model, "activation_checkpointing_enable", model.gradient_checkpointing_enable)(options or None)


def switch_off(model: Any) -> None:
    getattr(model, "activation_checkpointing_disable", model.gradient_checkpointing_disable)()


def learned(handle: pa.Attachment) -> dict[str, Tensor]:
    handle.model.train().zero_grad()
    batch = LLAVA.batch(PROMPTS)
    handle.model(**batch, labels=batch["input_ids"]).loss.backward()
    return {name: p.grad.clone() for name, p in handle.module.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("before", [False, True], ids=["switched on after attaching", "before"])
@pytest.mark.parametrize("reentrant", [False, True])
def test_the_hosts_switch_is_the_adapters(before: bool, reentrant: bool) -> None:
    host = LLAVA.build()
    if before:
        switch_on(host, use_reentrant=reentrant)
    handle = awake(pa.attach(host, ADAPTER))
    if not before:
        switch_on(host, use_reentrant=reentrant)
    calls: list[int] = []
    handle.module.experts.register_forward_pre_hook(lambda *args: calls.append(1))
    with handle.record_routing(graph=True) as log:
        found = learned(handle)
    assert len(calls) == 2
    assert len(log) == 1
    switch_off(host)
    expected = learned(handle)
    assert len(calls) == 3
    assert found.keys() == expected.keys() != set()
    assert all(torch.allclose(found[name], value, rtol=1e-4, atol=1e-7) for name, value in expected.items())


def test_a_host_that_is_recomputed_as_a_whole_is_recorded_once() -> None:
    handle = awake(pa.attach(LLAVA.build(), ADAPTER))
    batch, seen = LLAVA.batch(PROMPTS), []
    with handle.record_routing() as log, handle.add_observer(seen.append):
        checkpoint(lambda: handle.model.train()(**batch).logits, use_reentrant=False).square().mean().backward()
    assert len(log) == len(seen) == 1
