"""Routing per visual token against a plain loop."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import rms_norm
from torch.testing import assert_close

from parrot_adapters import AdapterConfig, build_layer
from parrot_adapters.core import PerTokenRouter, TextGuidedRouter
from parrot_adapters.testing import RouterTraits, check_router

pytestmark = pytest.mark.conformance


def test_equals_a_loop_over_tokens(batch):
    router, inputs = PerTokenRouter(8, 3), batch()
    routing = router(inputs)
    owner = torch.tensor([0, 0, 0, 1, 2, 2, 2, 2, 3, 3])
    assert routing.per_token
    for token, item in enumerate(owner.tolist()):
        row = inputs.rows[item]
        text = rms_norm(inputs.text[row][inputs.text_mask[row]], (8,))
        query = rms_norm(inputs.tokens[token], (8,))
        context = ((text @ query) / 8**0.5).softmax(0) @ text
        assert_close(routing.weights[token], (router.gate @ context).softmax(0))


def test_context_is_that_of_the_text_guided_router(batch):
    tokens, items = PerTokenRouter(8, 3), TextGuidedRouter(8, 3)
    assert_close(tokens(batch()).context, items(batch()).context)


def test_unnormalised_conforms():
    check_router(PerTokenRouter, RouterTraits(options={"normalize": "none"}, per_token=True, uses_text=True))


def test_inside_a_layer_with_top_k_and_conditioned_experts(batch, align):
    config = AdapterConfig(
        router="per-token", expert="conditioned-swiglu", num_experts=3, expert_hidden_size=4, top_k=2
    )
    layer, inputs = build_layer(config, 8), batch()
    with torch.no_grad():
        layer.experts.down.normal_()
    aligned = align(layer, inputs)
    assert aligned.routing.active.shape == (10, 2)
    assert not torch.equal(aligned.tokens, inputs.tokens)
