"""Controls: uniform, visual-only, frozen; and the prior that text-guided routers share with them."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from parrot_adapters import AdapterConfig, build_layer
from parrot_adapters.core import (
    FrozenRouter,
    PerTokenRouter,
    TextGuidedQKVRouter,
    TextGuidedRouter,
    UniformRouter,
    VisualOnlyRouter,
)
from parrot_adapters.errors import ConfigError
from parrot_adapters.testing import RouterTraits, check_router

pytestmark = pytest.mark.conformance

PRIOR = (1.0, 0.5, 0.25, 2.0)


def test_uniform(batch):
    routing = UniformRouter(8, 5)(batch())
    assert_close(routing.weights, torch.full((4, 5), 0.2))
    assert not list(UniformRouter(8, 5).parameters())


def test_visual_only_follows_the_picture_and_not_its_scale(batch):
    router, inputs = VisualOnlyRouter(8, 4), batch()
    weights = router(inputs).weights
    assert_close(router(replace(inputs, summary=inputs.summary * 50)).weights, weights, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(router(replace(inputs, summary=inputs.summary.flip(0))).weights, weights)


@pytest.mark.parametrize(
    ("options", "expected", "active"),
    [
        ({}, [0.25, 0.25, 0.25, 0.25], None),
        ({"expert": 2}, [0.0, 0.0, 1.0, 0.0], [2]),
        ({"weights": [1, 0, 3, 0]}, [0.25, 0.0, 0.75, 0.0], [0, 2]),
    ],
)
def test_frozen(batch, options, expected, active):
    routing = FrozenRouter(8, 4, **options)(batch())
    assert_close(routing.weights, torch.tensor([expected] * 4))
    assert routing.logits.isfinite().all()
    assert active is None or routing.active.tolist() == [active] * 4


@pytest.mark.parametrize(
    "options",
    [
        {"weights": [1, 2]},
        {"weights": [0, 0, 0, 0]},
        {"weights": [1, -1, 1, 1]},
        {"weights": [1, float("nan"), 1, 1]},
        {"weights": "abcd"},
        {"expert": 4},
        {"expert": True},
        {"expert": 0, "weights": [1, 1, 1, 1]},
    ],
)
def test_frozen_refuses(options):
    with pytest.raises(ConfigError):
        FrozenRouter(8, 4, **options)


def two_of_many(width, num_experts):
    return FrozenRouter(width, num_experts, weights=[0.0, 1.0, *[0.0] * (num_experts - 3), 3.0])


def test_frozen_with_options_conforms():
    check_router(two_of_many, RouterTraits(top_k=2, sparse=True, uses_text=False))


def test_frozen_weights_survive_half_precision():
    layer = build_layer(AdapterConfig(router="frozen", router_options={"weights": [0.1, 0.9]}, num_experts=2), 8)
    assert layer.bfloat16().router.weights == (0.1, 0.9)
    assert not list(layer.router.state_dict())


@pytest.mark.parametrize("make", [TextGuidedRouter, TextGuidedQKVRouter, PerTokenRouter, VisualOnlyRouter])
def test_prior_multiplies_the_shares(batch, make):
    torch.manual_seed(0)
    plain, weighted = make(8, 4), make(8, 4, prior=PRIOR)
    weighted.load_state_dict(plain.state_dict())
    shares = plain(batch()).weights * torch.tensor(PRIOR)
    assert_close(weighted(batch()).weights, shares / shares.sum(-1, keepdim=True))


@pytest.mark.parametrize("prior", [(1.0, 2.0), (1.0, 1.0, 1.0, 0.0), (1.0, 1.0, 1.0, float("inf")), "abcd"])
def test_prior_must_be_positive_numbers(prior):
    with pytest.raises(ConfigError, match="prior="):
        TextGuidedRouter(8, 4, prior=prior)
