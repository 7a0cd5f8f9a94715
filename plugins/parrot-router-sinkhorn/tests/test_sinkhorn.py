"""The router passes the library's conformance checks, balances, and equals the textbook algorithm."""

from __future__ import annotations

from dataclasses import replace

import parrot_router_sinkhorn
import pytest
import torch
from hypothesis import given, settings
from parrot_router_sinkhorn import SinkhornRouter, column_potentials
from torch.testing import assert_close

from parrot_adapters import AdapterConfig, RoutingInputs, build_layer, grow
from parrot_adapters.core import TextGuidedRouter
from parrot_adapters.errors import ConfigError
from parrot_adapters.plugins import PluginManager, installed
from parrot_adapters.testing import ROUTER_CHECKS, RouterTraits, router_checks, routing_inputs

pytestmark = pytest.mark.conformance


@router_checks(RouterTraits(**SinkhornRouter.conformance))
def test_conformance(check):
    check(SinkhornRouter)


def test_items_compete_unless_balanced_in_training_only():
    check = next(check for check in ROUTER_CHECKS if check.name == "alone_equals_batch")
    training_only = RouterTraits(options={"balance": "training"}, independent_in_training=False)
    replace(check, traits=training_only)(SinkhornRouter)
    with pytest.raises(AssertionError, match="alone"):
        replace(check, traits=RouterTraits())(SinkhornRouter)


def textbook(logits, iterations):
    """Scale rows and columns of exp(logits) in turn, in float64."""
    plan = logits.double().exp()
    for _ in range(iterations):
        plan = plan / plan.sum(1, keepdim=True)
        plan = plan * (plan.shape[0] / plan.shape[1]) / plan.sum(0)
    return plan / plan.sum(1, keepdim=True)


@pytest.mark.parametrize("items", [1, 2, 7])
def test_equals_the_textbook(items):
    logits = torch.randn(items, 4, generator=torch.Generator().manual_seed(items)) * 3
    plan = (logits + column_potentials(logits, 10)).softmax(-1)
    assert_close(plan, textbook(logits, 10).float(), rtol=1e-4, atol=1e-5)


def test_experts_share_the_batch():
    logits = torch.randn(40, 5, generator=torch.Generator().manual_seed(0)) * 2 + torch.tensor([4.0, 0, 0, 0, 0])
    plan = (logits + column_potentials(logits, 50)).softmax(-1)
    assert_close(plan.sum(0), torch.full((5,), 8.0), rtol=1e-2, atol=1e-2)


def test_huge_logits_stay_finite():
    logits = torch.tensor([[1e6, -1e6], [1e6, 0.0]])
    assert (logits + column_potentials(logits, 50)).softmax(-1).isfinite().all()


def test_training_only_balances_in_training():
    generator = torch.Generator().manual_seed(0)
    text, summary = torch.randn(6, 4, 8, generator=generator), torch.randn(6, 8, generator=generator)
    inputs = RoutingInputs(
        summary=summary,
        tokens=torch.randn(6, 8, generator=generator),
        offsets=torch.arange(7),
        text=text,
        text_mask=torch.ones(6, 4, dtype=torch.bool),
        rows=torch.arange(6),
    )
    router, always = SinkhornRouter(8, 3, balance="training").train(), SinkhornRouter(8, 3)
    always.load_state_dict(router.state_dict())
    assert_close(router(inputs).weights, always(inputs).weights)
    assert_close(router(inputs).weights.sum(0), torch.full((3,), 2.0), rtol=1e-2, atol=1e-2)
    assert not torch.allclose(router.eval()(inputs).weights, always(inputs).weights)


@settings(deadline=None, max_examples=10)
@given(inputs=routing_inputs(8))
def test_evaluation_of_training_only_is_text_guided(inputs):
    router, plain = SinkhornRouter(8, 3, balance="training").eval(), TextGuidedRouter(8, 3)
    plain.load_state_dict(router.state_dict())
    assert_close(router(inputs).weights, plain(inputs).weights)


def test_the_module_is_a_plugin():
    manager = PluginManager()
    manager.register(parrot_router_sinkhorn)
    assert manager.find("router", "sinkhorn").factory is SinkhornRouter


@pytest.mark.skipif(
    "sinkhorn" not in {point.name for point in installed()}, reason="this distribution is not installed"
)
def test_installed_it_is_used_by_name():
    assert type(build_layer(AdapterConfig(router="sinkhorn"), 8).router) is SinkhornRouter


@pytest.mark.parametrize("options", [{"iterations": 0}, {"balance": "sometimes"}, {"normalize": "l2"}])
def test_refuses(options):
    with pytest.raises(ConfigError):
        SinkhornRouter(8, 3, **options)


@pytest.mark.skipif(
    "sinkhorn" not in {point.name for point in installed()}, reason="this distribution is not installed"
)
def test_growing_changes_no_answer():
    """Twins would be balanced against each other, or choose the same tokens: they are one to the router."""
    config = AdapterConfig(router="sinkhorn", num_experts=3, expert_hidden_size=8)
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
