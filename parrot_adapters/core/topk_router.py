"""Sparse text-guided routing, balanced without a loss (letters: ``types.py``).

Two things decide differently. *Which* experts an item gets: ``top-k(softmax(logits) + balance)``, with optional noise
in training. *How much* of each: ``softmax`` of the plain logits over the chosen ones, so that neither balance nor noise
bends the mixture. ``balance`` is the bias of loss-free balancing (arXiv 2408.15664; DeepSeek-V3, arXiv 2412.19437,
section 2.1.2): it rises by ``balance_rate`` for every expert chosen less than its share and falls for the others.

Where its state is kept, and when it moves. The buffer ``balance_steps`` (E,) counts the steps up and down as integers
(an integer buffer survives ``.bfloat16()``, where steps of 0.001 would be rounded away) and is saved with the adapter.
It moves *in the backward pass*, once for each forward pass that a loss was taken through, and never in forward:
forward is a function of inputs and state alone, evaluation moves nothing, neither does training code without a
gradient, and a forward pass recomputed by gradient checkpointing chooses what it chose the first time. No gradient
flows through it. Under DDP, which broadcasts buffers, the first rank's choices count.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from parrot_adapters.core.routers import TextGuidedRouter
from parrot_adapters.core.types import Routing, RoutingInputs
from parrot_adapters.errors import ConfigError

__all__ = ["TopKRouter"]


class TopKRouter(TextGuidedRouter):
    """The k experts a prompt asks for most, in a balanced way.

    With ``k=1`` the one weight is 1 whatever the gate says, so only losses on the logits (``language-supervision``,
    ``load-balancing``, ``router-z``) train the gate.

    Args:
        width: Hidden size D of the language model, which visual tokens have too.
        num_experts: Number of experts E, at least 1.
        k: Number of experts kept for each item, 1 to E; None (default) means 2, or 1 where there is only one.
        noise: Standard deviation of the Gaussian noise that is added to the logits while experts are chosen in training
            (default 0).
        balance_rate: Step of the balancing bias, on the scale of probabilities (default 0.001); 0 turns it off.
        normalize: ``"rms"`` (default) RMS-normalises summary and text before the attention; ``"none"`` does not.

    Raises:
        ConfigError: ``k`` outside 1..E, negative ``noise`` or ``balance_rate``, unknown ``normalize``.
    """

    conformance: ClassVar[Mapping[str, Any]] = {"uses_text": True, "sparse": True, "stochastic": False}

    splits: ClassVar[tuple[str, ...]] = ()  # twins would take two of the k places

    balance_steps: Tensor  # (E,) int64

    def __init__(
        self,
        width: int,
        num_experts: int,
        *,
        k: int | None = None,
        noise: float = 0.0,
        balance_rate: float = 0.001,
        normalize: str = "rms",
    ) -> None:
        super().__init__(width, num_experts, normalize=normalize)
        self.k = min(2, num_experts) if k is None else k
        if isinstance(self.k, bool) or not isinstance(self.k, int) or not 1 <= self.k <= num_experts:
            raise ConfigError(f"k={k!r} must lie between 1 and num_experts={num_experts}")
        if not (noise >= 0 and balance_rate >= 0):
            raise ConfigError(f"noise={noise!r} and balance_rate={balance_rate!r} must not be negative")
        self.noise, self.balance_rate = noise, balance_rate
        self.register_buffer("balance_steps", torch.zeros(num_experts, dtype=torch.int64))

    def forward(self, inputs: RoutingInputs) -> Routing:
        dense = super().forward(inputs)
        logits = dense.logits  # (I, E)
        active = self._choose(logits.detach())  # (I, k)
        chosen = torch.zeros_like(logits, dtype=torch.bool).scatter(-1, active, True)
        if self.training and self.balance_rate and logits.requires_grad:
            logits = _MovesBalance.apply(logits, self.balance_steps, chosen.sum(0))
        weights = logits.masked_fill(~chosen, -torch.inf).softmax(-1)
        return Routing(weights, logits, dense.context, active=active)

    def _choose(self, logits: Tensor) -> Tensor:
        if self.training and self.noise:
            logits = logits + self.noise * torch.randn_like(logits)
        return (logits.softmax(-1) + self.balance_rate * self.balance_steps).topk(self.k, dim=-1).indices

    def extra_repr(self) -> str:
        return f"k={self.k}, noise={self.noise}, balance_rate={self.balance_rate}"


class _MovesBalance(torch.autograd.Function):
    """The logits themselves; the backward pass through them moves the balance. What torch compiles can trace this."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, steps: Tensor, load: Tensor) -> Tensor:
        """``load`` (E,): how many items chose each expert."""
        ctx.steps, ctx.load = steps, load
        return logits.view_as(logits)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        ctx.steps += torch.sign(ctx.load.sum() - ctx.load * ctx.load.numel())  # sign(mean load - load)
        return gradient, None, None
