"""The conformance checks of experts inside linear layers: those of expert banks, on a layer as wide as it is deep, and
what such experts must do besides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from parrot_adapters.core import LayerExperts, Routing
from parrot_adapters.core.layer_experts import SUFFIX
from parrot_adapters.testing.checks import Factory, checks_of, for_all
from parrot_adapters.testing.checks_of_experts import EXPERT_CHECKS
from parrot_adapters.testing.expert_subject import ExpertSubject
from parrot_adapters.testing.strategies import ExpertCall
from parrot_adapters.testing.subject import perturb
from parrot_adapters.testing.traits import ExpertTraits, declared_by

__all__ = ["LAYER_EXPERT_CHECKS", "check_layer_expert"]

OTHER_SIZE = 5  # of a layer's output, beside an input of the width that is tested at


class OneLayer(nn.Module):
    """The experts of one layer in the form of an expert bank, run as an adapter runs them.

    Args:
        factory: Of the experts: ``(in_features, out_features, num_experts, rank, width, **options)``.
        width: Size of the layer's input, and of the context.
        rank: Rank of one expert.
        num_experts: Number of experts E.
        out_features: Size of the layer's output; None (default) for that of its input.
        options: Of the factory.
    """

    def __init__(
        self,
        factory: Factory,
        width: int,
        rank: int,
        num_experts: int,
        *,
        out_features: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__()
        out = width if out_features is None else out_features
        self.experts = LayerExperts({"layer": (width, out)}, num_experts, rank, make=factory, width=width, **options)

    def forward(self, tokens: Tensor, offsets: Tensor, routing: Routing) -> Tensor:
        units = self.experts.units(self.experts.of_tokens(routing, offsets, tokens.shape[0]))
        return self.experts.call("layer")(tokens, units).to(tokens.dtype)


def check_layer_expert(factory: Factory, traits: ExpertTraits | Mapping[str, Any] | None = None) -> None:
    """Try every conformance check on a kind of experts inside linear layers; the first that fails raises.

    Args:
        factory: Factory ``(in_features, out_features, num_experts, rank, width, **options)`` of a module ``(tokens
            (N, in), weights (N, E), context (N, D) | None) -> (N, out)``: a class, a function, a ``functools.partial``.
        traits: What the kind declares of itself, as ``ExpertTraits`` or a mapping of its fields, ``hidden_size`` being
            the rank; None (default) reads the factory's ``conformance`` mapping, if it has one, and finds out the rest.

    Raises:
        AssertionError: A check failed; the message begins with its name and ends with the smallest batch found.
    """
    for check in LAYER_EXPERT_CHECKS:
        replace(check, traits=traits)(factory)


def _as_bank(factory: Factory, declared: ExpertTraits | Mapping[str, Any] | None = None) -> ExpertSubject:
    given = declared_by(factory) if declared is None else declared
    traits = ExpertTraits(**given) if isinstance(given, Mapping) else given
    untrained = tuple(f"experts.layer{SUFFIX}.{name}" for name in traits.untrained)
    return ExpertSubject.of(partial(OneLayer, factory), replace(traits, untrained=untrained))


def any_size(subject: ExpertSubject) -> None:
    """A layer whose output has another size than its input gets answers of that size."""

    def holds(call: ExpertCall) -> None:
        module = perturb(subject.make(options={"out_features": OTHER_SIZE})).eval()
        found, wanted = subject.answer(call, module)["tokens"], (call.tokens.shape[0], OTHER_SIZE)
        assert found.shape == wanted, f"shape {tuple(found.shape)} of a layer with answers of {wanted}"

    for_all(subject.cases(empty_items=True), holds)


def abstaining(subject: ExpertSubject) -> None:
    """Where a router abstains exactly nothing is added, and elsewhere the same as ever."""

    def holds(call: ExpertCall) -> None:
        items = call.offsets.numel() - 1
        sizes = call.offsets.diff()
        abstain = torch.arange(items) % 2 == 0
        found = subject.answer(call._replace(routing=call.routing._replace(abstain=abstain)))["tokens"].detach()
        left = abstain.repeat_interleave(sizes)
        assert not bool(found[left].any()), "something is added where the router abstains"
        assert torch.equal(found[~left], subject.answer(call)["tokens"].detach()[~left]), "other items are changed"

    for_all(subject.cases(), holds)


NOT_ASKED = ("inactive_experts", "dense_equals_all_active")  # layers are told weights, and not which are zero
OF_BANKS = [check.test for check in EXPERT_CHECKS if check.name not in NOT_ASKED]
LAYER_EXPERT_CHECKS = checks_of(_as_bank, [OF_BANKS[0], any_size, *OF_BANKS[1:], abstaining])
