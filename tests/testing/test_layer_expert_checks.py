"""The kit of experts inside layers bites: a broken kind for each check of its own, and healthy kinds pass all."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from parrot_adapters.core import GatedLayerExpert, LayerExpert
from parrot_adapters.testing import (
    LAYER_EXPERT_CHECKS,
    ExpertTraits,
    check_layer_expert,
    examples,
    layer_expert_checks,
)

pytestmark = pytest.mark.conformance


class Plain(nn.Module):
    """What a stranger writes: a bottleneck for each expert, nothing of the library in it."""

    def __init__(self, in_features, out_features, num_experts, rank, width):
        super().__init__()
        self.inside = nn.Parameter(torch.randn(num_experts, in_features, rank) / in_features**0.5)
        self.out = nn.Parameter(torch.zeros(num_experts, rank, out_features))

    def forward(self, tokens, weights, context):
        hidden = torch.einsum("ni,eir->ner", tokens, self.inside).tanh()
        return torch.einsum("ne,ner,ero->no", weights, hidden, self.out)


class Reads(Plain):
    """The same, scaled by what the prompt says."""

    needs_context = True

    def __init__(self, in_features, out_features, num_experts, rank, width):
        super().__init__(in_features, out_features, num_experts, rank, width)
        self.scale = nn.Parameter(torch.zeros(width))

    def forward(self, tokens, weights, context):
        return super().forward(tokens, weights, context) * (1 + context @ self.scale)[:, None]


class Square(Plain):
    """Answers as wide as its input."""

    def forward(self, tokens, weights, context):
        return nn.functional.pad(super().forward(tokens, weights, context), (0, tokens.shape[1]))[:, : tokens.shape[1]]


class NeverAbstains(LayerExpert):
    """Units that do not heed the first weight."""

    def units(self, weights, context):
        return super().units(weights, context) + 1e-3


class NotIdentity(Plain):
    def __init__(self, *sizes):
        super().__init__(*sizes)
        nn.init.normal_(self.out)


class BatchMean(Plain):
    def forward(self, tokens, weights, context):
        return super().forward(tokens, weights, context) * torch.tanh(weights.sum())


class DeafToWeights(Plain):
    def forward(self, tokens, weights, context):
        return super().forward(tokens, torch.full_like(weights, 1 / weights.shape[1]), context)


class DeafToContext(Reads):
    def forward(self, tokens, weights, context):
        return Plain.forward(self, tokens, weights, context) + 0 * (context @ self.scale)[:, None]


BROKEN = {
    "any_size": Square,
    "abstaining": NeverAbstains,
    "identity_at_start": NotIdentity,
    "alone_equals_batch": BatchMean,
    "trains_the_router": DeafToWeights,
    "reads_context": DeafToContext,
}


@layer_expert_checks()
@pytest.mark.parametrize("kind", [LayerExpert, GatedLayerExpert, Plain, Reads])
@pytest.mark.few(16)
def test_healthy_kinds_pass(kind, check) -> None:
    with examples(5):
        check(kind)


@pytest.mark.parametrize(
    ("kind", "options"),
    [(LayerExpert, {"layer_scale": 0.5, "layer_dropout": 0.2}), (GatedLayerExpert, {"shared_rank": 2})],
)
def test_options_pass(kind, options) -> None:
    with examples(3):
        check_layer_expert(kind, ExpertTraits(options=options))


@pytest.mark.parametrize("name", BROKEN)
def test_broken_kinds_are_caught(name: str) -> None:
    check = next(check for check in LAYER_EXPERT_CHECKS if check.name == name)
    with examples(5):
        healthy = Reads if name == "reads_context" else Plain
        replace(check)(healthy)
        with pytest.raises(AssertionError, match=f"^{name}: "):
            check(BROKEN[name])
