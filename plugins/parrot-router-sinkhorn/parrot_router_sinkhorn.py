"""Balanced routing: every expert gets the same share of the batch.

I items    E experts

Sinkhorn's algorithm scales ``exp(logits)`` to rows that sum to 1 and columns that sum to I / E, the entropic optimal
transport from items to experts (Cuturi, arXiv 1306.0895; for experts: arXiv 2202.01169). It is written
here by its column potentials ``v``: the balanced plan is ``softmax(logits + v)`` row by row. ``v`` is found without a
gradient and then held fixed, so rows sum to one exactly, and the gate learns as it does under a plain softmax, even
from a batch of one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from parrot_adapters import Routing, RoutingInputs, hookimpl
from parrot_adapters.core import TextGuidedRouter
from parrot_adapters.errors import ConfigError

__all__ = ["SinkhornRouter", "column_potentials", "register_routers"]


class SinkhornRouter(TextGuidedRouter):
    """Text-guided routing in which the experts share the batch evenly.

    Args:
        width: D.
        num_experts: E.
        iterations: of Sinkhorn's algorithm.
        balance: ``"always"``, or ``"training"``: in evaluation a plain softmax, so that an answer does not depend on
            who else is in the batch.
        normalize: as for ``text-guided``.

    Raises:
        ConfigError: fewer than one iteration, unknown ``balance`` or ``normalize``.
    """

    # What the conformance kit must know: items compete, so an item alone is routed differently.
    conformance: ClassVar[Mapping[str, Any]] = {"uses_text": True, "independent_items": False, "stochastic": False}
    splits: ClassVar[tuple[str, ...]] = ()  # twins would be balanced against each other

    def __init__(
        self, width: int, num_experts: int, *, iterations: int = 20, balance: str = "always", normalize: str = "rms"
    ) -> None:
        super().__init__(width, num_experts, normalize=normalize)
        if iterations < 1:
            raise ConfigError(f"iterations={iterations!r} must be at least 1")
        if balance not in ("always", "training"):
            raise ConfigError(f"balance={balance!r} must be 'always' or 'training'")
        self.iterations, self.balance = iterations, balance

    def forward(self, inputs: RoutingInputs) -> Routing:
        routing = super().forward(inputs)
        if self.balance == "training" and not self.training:
            return routing
        potentials = column_potentials(routing.logits.detach(), self.iterations)  # (E,)
        return routing._replace(weights=(routing.logits + potentials).softmax(-1))


@torch.no_grad()
def column_potentials(logits: Tensor, iterations: int) -> Tensor:
    """(I, E) float32 logits -> (E,) potentials that balance the columns; in logarithms, so nothing overflows."""
    items, experts = logits.shape
    potentials = logits.new_zeros(experts)
    for _ in range(iterations):
        rows = (logits + potentials).log_softmax(-1)  # each item spends one
        potentials = potentials + math.log(items / experts) - rows.logsumexp(0)  # each expert earns I / E
    return potentials


@hookimpl
def register_routers(register: Any) -> None:
    register("sinkhorn", SinkhornRouter)
