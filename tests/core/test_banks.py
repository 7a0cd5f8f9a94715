"""Merged, low-rank and shared experts against slow loops, gradients included."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.functional import one_hot, silu
from torch.testing import assert_close

import parrot_adapters as pa
from parrot_adapters.core import (
    AlignmentLayer,
    LowRankExperts,
    MergedExperts,
    Routing,
    SharedSwiGLUExperts,
    SwiGLUExperts,
    keep_top_k,
    offsets_from_lengths,
)
from parrot_adapters.core.token_router import PerTokenRouter
from parrot_adapters.errors import ConfigError, RoutingError
from parrot_adapters.testing import ExpertTraits, expert_checks

pytestmark = pytest.mark.conformance

D, F, E = 6, 4, 3


def trained(bank, seed=0):
    """Random weights everywhere: at initialisation every bank answers zero."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in bank.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.5)
    return bank.double()


def batch(sizes, seed):
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randn(sum(sizes), D, generator=generator).double()
    logits = torch.randn(len(sizes), E, generator=generator)
    return tokens, offsets_from_lengths(torch.tensor(sizes)), Routing(logits.softmax(-1).double(), logits)


def merged_loop(bank, tokens, offsets, routing):
    parts = []
    for item, (start, stop) in enumerate(zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True)):
        gate, up, down = (
            sum(routing.weights[item, e] * theta[e] for e in range(E)) for theta in (bank.gate, bank.up, bank.down)
        )
        mine = tokens[start:stop]
        parts.append((silu(mine @ gate.T) * (mine @ up.T)) @ down)
    return torch.cat(parts)


def lowrank_loop(bank, tokens, offsets, routing):
    item = torch.arange(len(offsets) - 1).repeat_interleave(offsets[1:] - offsets[:-1])
    return torch.stack(
        [
            sum(routing.weights[i, e] * bank.scale * (bank.compress[e] @ x) @ bank.down[e] for e in range(E))
            for x, i in zip(tokens, item, strict=True)
        ]
    )


def shared_loop(bank, tokens, offsets, routing):
    item = torch.arange(len(offsets) - 1).repeat_interleave(offsets[1:] - offsets[:-1])
    out = []
    for x, i in zip(tokens, item, strict=True):
        shared = (silu(bank.shared_gate @ x) * (bank.shared_up @ x)) @ bank.shared_down
        routed = sum(
            routing.weights[i, e] * ((silu(bank.gate[e] @ x) * (bank.up[e] @ x)) @ bank.down[e]) for e in range(E)
        )
        out.append(shared + routed)
    return torch.stack(out)


BANKS = {
    "merged": (MergedExperts, {}, merged_loop),
    "low-rank": (LowRankExperts, {"scale": 0.5}, lowrank_loop),
    "shared": (SharedSwiGLUExperts, {"shared_hidden_size": 5}, shared_loop),
}


@pytest.mark.parametrize("name", BANKS)
@pytest.mark.parametrize("k", [None, 1, 2])
@settings(deadline=None, max_examples=15)
@given(sizes=st.lists(st.integers(0, 4), min_size=1, max_size=4).filter(any), seed=st.integers(0, 1000))
@pytest.mark.few(3)
def test_equals_the_loop_gradients_included(name, k, sizes, seed):
    make, options, loop = BANKS[name]
    results = []
    for run in (lambda bank, *call: bank(*call), loop):
        bank = trained(make(D, F, E, **options), seed)
        tokens, offsets, routing = batch(sizes, seed)
        tokens.requires_grad_()
        weights = routing.weights.clone().requires_grad_()
        routing = routing._replace(weights=weights)
        if k is not None:
            routing = keep_top_k(routing, k)
        out = run(bank, tokens, offsets, routing)
        out.square().sum().backward()
        results.append([out.detach(), tokens.grad, weights.grad, *(p.grad for p in bank.parameters())])
    for fast, slow in zip(*results, strict=True):
        assert_close(fast, slow)


def test_merged_is_exact_where_one_weight_is_one():
    merged, mixture = trained(MergedExperts(D, F, E)), trained(SwiGLUExperts(D, F, E))
    tokens, offsets, routing = batch([2, 3, 2], 1)
    certain = routing._replace(weights=one_hot(torch.tensor([2, 0, 1]), E).double())
    assert_close(merged(tokens, offsets, certain), mixture(tokens, offsets, certain))
    assert not torch.allclose(merged(tokens, offsets, routing), mixture(tokens, offsets, routing))


def test_merged_refuses_a_routing_per_token():
    tokens, offsets, _ = batch([2, 3], 1)
    per_token = Routing(torch.full((5, E), 1 / E), torch.zeros(5, E), per_token=True)
    with pytest.raises(RoutingError, match="routes per token"):
        MergedExperts(D, F, E)(tokens.float(), offsets, per_token)


def test_a_layer_of_merged_experts_and_a_router_per_token_is_not_made():
    """Which ``torch.compile`` would else say in words of its own."""
    with pytest.raises(
        ConfigError, match=r"router 'per-token' .*every visual token.*expert 'merged' .*one routing per"
    ):
        pa.build_layer(pa.AdapterConfig(router="per-token", expert="merged", expert_hidden_size=8, num_experts=2), D)
    with pytest.raises(ConfigError, match="the router PerTokenRouter routes every"):
        AlignmentLayer(
            summary=nn.Identity(), router=PerTokenRouter(D, E), experts=MergedExperts(D, F, E), num_experts=E
        )


def test_shared_size_must_be_positive():
    with pytest.raises(ConfigError, match="shared_hidden_size=0"):
        SharedSwiGLUExperts(D, F, E, shared_hidden_size=0)


@expert_checks(ExpertTraits(linear_in_weights=True, options={"shared_hidden_size": 3}))
def test_shared_conforms(check):
    check(SharedSwiGLUExperts)
