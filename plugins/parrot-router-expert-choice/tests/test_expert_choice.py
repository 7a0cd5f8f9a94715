"""The router passes the conformance checks, balances every image exactly, and equals the textbook algorithm."""

from __future__ import annotations

import math

import parrot_router_expert_choice
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from parrot_router_expert_choice import ExpertChoiceRouter, chosen_tokens
from torch.testing import assert_close

from parrot_adapters import AdapterConfig, build_layer, grow
from parrot_adapters.core import lengths
from parrot_adapters.errors import ConfigError
from parrot_adapters.plugins import PluginManager, installed
from parrot_adapters.testing import RouterTraits, check_router, examples, router_checks, routing_inputs

pytestmark = pytest.mark.conformance


@router_checks(RouterTraits(**ExpertChoiceRouter.conformance))
def test_conformance(check):
    check(ExpertChoiceRouter)


def test_choosing_from_the_whole_batch_would_leak():
    """The paper's own form: all images as one. This is what the check is there for."""

    class OverTheBatch(ExpertChoiceRouter):
        def forward(self, inputs):
            whole = inputs.offsets[[0, -1]]
            taken = chosen_tokens(super().forward(inputs).logits.softmax(-1), lengths(whole).tolist(), self.capacity)
            routing = super().forward(inputs)
            nobody = ~taken.any(-1)
            kept = routing.logits.masked_fill(~taken & ~nobody[:, None], -torch.inf)
            return routing._replace(weights=kept.softmax(-1), abstain=nobody)

    with pytest.raises(AssertionError, match=r"^alone_equals_batch: "), examples(20):
        check_router(OverTheBatch)


def textbook(scores, capacity):
    """Algorithm of the paper for one image, token by token: each expert sorts the tokens and takes the first ones."""
    tokens, experts = scores.shape
    count = math.ceil(capacity * tokens / experts)
    taken = [[False] * experts for _ in range(tokens)]
    for expert in range(experts):
        for token in sorted(range(tokens), key=lambda t: -float(scores[t, expert]))[:count]:
            taken[token][expert] = True
    return torch.tensor(taken).reshape(tokens, experts)


@settings(deadline=None, max_examples=30)
@given(sizes=st.lists(st.integers(0, 9), min_size=1, max_size=4), capacity=st.sampled_from((0.5, 1.0, 2.0, 4.0)))
def test_equals_the_textbook(sizes, capacity):
    scores = torch.randn(sum(sizes), 4, generator=torch.Generator().manual_seed(sum(sizes))).softmax(-1)
    wanted = torch.cat([textbook(part, capacity) for part in scores.split(sizes)])
    assert torch.equal(chosen_tokens(scores, sizes, capacity), wanted)


@settings(deadline=None, max_examples=20)
@given(inputs=routing_inputs(8))
def test_every_expert_has_the_same_load_on_every_image(inputs):
    router = ExpertChoiceRouter(8, 3, capacity=1.5)
    routing = router(inputs)
    used = (routing.weights > 0) & ~routing.abstain[:, None]
    for part in used.split(lengths(inputs.offsets).tolist()):
        assert part.sum(0).tolist() == [math.ceil(1.5 * len(part) / 3)] * 3


def test_tokens_that_no_expert_took_come_out_bit_for_bit():
    plugins = PluginManager()
    plugins.register(parrot_router_expert_choice)
    layer = build_layer(AdapterConfig(num_experts=3, expert_hidden_size=4), 8)
    layer.router = plugins.find("router", "expert-choice").factory(8, 3, capacity=0.5)
    torch.nn.init.normal_(layer.experts.down)
    tokens = torch.randn(12, 8, generator=torch.Generator().manual_seed(0))
    text = torch.randn(1, 4, 8, generator=torch.Generator().manual_seed(1))
    aligned = layer(tokens, torch.tensor([0, 12]), torch.tensor([0]), text, torch.ones(1, 4, dtype=torch.bool))
    left = aligned.routing.abstain
    assert 0 < int(left.sum()) < 12
    assert torch.equal(aligned.tokens[left], tokens[left])
    assert not (aligned.tokens[~left] == tokens[~left]).all(-1).any()


@pytest.mark.skipif(
    "expert-choice" not in {point.name for point in installed()}, reason="this distribution is not installed"
)
def test_installed_it_is_used_by_name():
    assert type(build_layer(AdapterConfig(router="expert-choice"), 8).router) is ExpertChoiceRouter


@pytest.mark.parametrize("options", [{"capacity": 0}, {"capacity": 4}, {"normalize": "l2"}])
def test_refuses(options):
    with pytest.raises(ConfigError):
        ExpertChoiceRouter(8, 3, **options)


@pytest.mark.skipif(
    "expert-choice" not in {point.name for point in installed()}, reason="this distribution is not installed"
)
def test_growing_changes_no_answer():
    """Twins would be balanced against each other, or choose the same tokens: they are one to the router."""
    config = AdapterConfig(router="expert-choice", num_experts=3, expert_hidden_size=8)
    layer = build_layer(config, 8).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.normal_(0, 0.5, generator=generator)
    visual, text = torch.randn(12, 8, generator=generator), torch.randn(3, 5, 8, generator=generator)
    given = (visual, torch.tensor([0, 3, 7, 12]), torch.arange(3), text, torch.ones(3, 5, dtype=torch.bool))
    before, _ = layer(*given)
    grown = grow(layer, 1, config=config, parents=[1])
    after, routing = layer(*given)
    assert (grown.router, grown.num_experts, routing.weights.shape[1]) == ("grown", 4, 4)
    assert_close(after, before, rtol=1e-4, atol=1e-5)
