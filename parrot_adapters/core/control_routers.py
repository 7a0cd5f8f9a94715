"""Routers to compare against: what is left of an effect when nothing, or only the picture, or a constant, routes.

Letters: ``types.py``. None of them reads the prompt, so experts that condition on it cannot use them (no context).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from parrot_adapters.core.attention import NORMALIZERS
from parrot_adapters.core.precision import float32_inside
from parrot_adapters.core.prior import add_log_prior, known_prior
from parrot_adapters.core.types import Routing, RoutingInputs
from parrot_adapters.core.weights import linear_weight
from parrot_adapters.errors import ConfigError, explain

__all__ = ["FrozenRouter", "UniformRouter", "VisualOnlyRouter"]

LOGIT_FLOOR = -1e4  # stands for log 0: exp of it is exactly zero in float32, and losses stay finite


class UniformRouter(nn.Module):
    """Every expert, equally, always. With one expert: a plain adapter that reads no prompt.

    Args:
        width: Hidden size D of the language model, which visual tokens have too.
        num_experts: Number of experts E, at least 1.
    """

    conformance: ClassVar[Mapping[str, Any]] = {"uses_text": False, "sparse": False, "stochastic": False}

    def __init__(self, width: int, num_experts: int) -> None:
        super().__init__()
        self.num_experts = num_experts

    def forward(self, inputs: RoutingInputs) -> Routing:
        logits = inputs.summary.new_zeros(inputs.summary.shape[0], self.num_experts, dtype=torch.float32)  # (I, E)
        return Routing(torch.full_like(logits, 1 / self.num_experts), logits)

    def language_weights(self, language: str | None) -> Tensor:
        """(E,) the weights of a language: the same for all."""
        return torch.full((self.num_experts,), 1 / self.num_experts)


class VisualOnlyRouter(nn.Module):
    """Routes on the picture alone: ``softmax(W s / rms(s))``. What it gains over ``uniform`` is not guidance.

    Args:
        width: Hidden size D of the language model, which visual tokens have too.
        num_experts: Number of experts E, at least 1.
        prior: Constant shares of the experts, (E,), positive, added to the logits as ``log prior``; None (default)
            gives all the same.

    Raises:
        ConfigError: Impossible ``prior``.
    """

    conformance: ClassVar[Mapping[str, Any]] = {"uses_text": False, "sparse": False, "stochastic": False}

    splits: ClassVar[tuple[str, ...]] = ("gate",)

    def __init__(self, width: int, num_experts: int, *, prior: Sequence[float] | None = None) -> None:
        super().__init__()
        self.prior = known_prior(prior, num_experts)
        self.gate = linear_weight(num_experts, width)  # (E, D)

    def forward(self, inputs: RoutingInputs) -> Routing:
        with float32_inside(inputs.summary):
            summary = NORMALIZERS["rms"](inputs.summary.float())
            logits = add_log_prior(linear(summary, self.gate.float()), self.prior)  # (I, E)
            return Routing(logits.softmax(-1), logits)


class FrozenRouter(nn.Module):
    """Constant weights. What ``parrot freeze-routing`` leaves behind, and a control with a chosen expert.

    The constants live in the config, not in the weights; experts of weight zero are not run at all.

    Args:
        width: Hidden size D of the language model, which visual tokens have too.
        num_experts: Number of experts E, at least 1.
        weights: Shares of the experts, (E,), at least zero, normalised to add up to one; None (default) gives all the
            same.
        expert: Number of the expert that gets all weight, instead of ``weights``; None (default) for no such expert.

    Raises:
        ConfigError: Both are given, or impossible values.
    """

    conformance: ClassVar[Mapping[str, Any]] = {"uses_text": False, "stochastic": False}

    def __init__(
        self, width: int, num_experts: int, *, weights: Sequence[float] | None = None, expert: int | None = None
    ) -> None:
        super().__init__()
        self.weights = known_weights(weights, expert, num_experts)

    def forward(self, inputs: RoutingInputs) -> Routing:
        num_items, device = inputs.summary.shape[0], inputs.summary.device
        weights = torch.tensor(self.weights, device=device).expand(num_items, -1)  # (I, E) float32
        logits = weights.log().clamp(min=LOGIT_FLOOR)
        used = [e for e, share in enumerate(self.weights) if share > 0]
        active = None if len(used) == len(self.weights) else torch.tensor(used, device=device).expand(num_items, -1)
        return Routing(weights, logits, active=active)

    def language_weights(self, language: str | None) -> Tensor:
        """(E,) the weights of a language: the same for all."""
        return torch.tensor(self.weights)

    def extra_repr(self) -> str:
        return f"weights={tuple(round(share, 4) for share in self.weights)}"


def known_weights(weights: Sequence[float] | None, expert: int | None, num_experts: int) -> tuple[float, ...]:
    """One share per expert, summing to one."""
    if weights is not None and expert is not None:
        raise ConfigError("give weights or expert, not both")
    if expert is not None:
        if isinstance(expert, bool) or not isinstance(expert, int) or not 0 <= expert < num_experts:
            raise ConfigError(f"expert={expert!r} must be one of 0..{num_experts - 1}")
        return tuple(float(e == expert) for e in range(num_experts))
    if weights is None:
        return (1 / num_experts,) * num_experts
    shares = [share for share in weights if isinstance(share, int | float) and math.isfinite(share) and share >= 0]
    if not len(shares) == len(weights) == num_experts or not any(shares):
        raise ConfigError(
            explain(
                f"weights={weights!r} are no weights of {num_experts} experts.",
                to_do=f"give {num_experts} finite numbers >= 0 that are not all zero",
            )
        )
    total = math.fsum(shares)
    return tuple(share / total for share in shares)
