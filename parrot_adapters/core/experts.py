"""Expert banks: E feed-forward experts and their weighted sum (letters: ``types.py``).

A bank is a module ``forward(tokens, offsets, routing) -> (N, D)`` made by
``factory(width, hidden_size, num_experts, **options)``. The three banks here share two paths, and the tests hold both
to a plain loop over experts:

* dense: a weighted sum of E experts is *one* expert of hidden width E * F whose hidden units are scaled by the
  routing weights, so it runs as one wide matmul each way;
* top-k: each expert sees the tokens routed to it, cost k / E. An expert without tokens still runs on zero rows, so
  that its parameters take part in every backward pass and no rank of a distributed run waits for another.

The last projection starts at zero: attaching an adapter changes nothing.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from einops import einsum, rearrange
from torch import Tensor, nn
from torch.nn.functional import silu

from parrot_adapters.core.ragged import spread
from parrot_adapters.core.types import Routing
from parrot_adapters.core.weights import expert_weight
from parrot_adapters.errors import ConfigError, explain

__all__ = ["ConditionedSwiGLUExperts", "ExpertBank", "MLPExperts", "SwiGLUExperts"]


class ExpertBank(nn.Module):
    """Base class of expert banks: it dispatches tokens to experts. A subclass says what the hidden units of some
    experts are, and nothing else.

    Args:
        width: Hidden size D of the language model, which visual tokens have too.
        hidden_size: Hidden width F of one expert, at least 1.
        num_experts: Number of experts E, at least 1.
    """

    down: nn.Parameter  # (E, F, D)
    per_expert: ClassVar[tuple[str, ...]]  # parameters whose first axis is the expert, for parrot_adapters.grow

    def __init__(self, width: int, hidden_size: int, num_experts: int) -> None:
        super().__init__()
        self.width, self.hidden_size, self.num_experts = width, hidden_size, num_experts

    def hidden(self, tokens: Tensor, experts: slice, context: Tensor | None) -> Tensor:
        """(n, D) tokens, (n, D) or None context -> (n, e, F) hidden units of the experts in the slice."""
        raise NotImplementedError

    def output_bias(self) -> Tensor | None:
        """(E, D) bias of the last projection, or None."""
        return None

    def token_context(self, routing: Routing, offsets: Tensor, num_tokens: int) -> Tensor | None:
        """(N, D) the context of each token's item; only conditioned banks want one."""
        return None

    def forward(self, tokens: Tensor, offsets: Tensor, routing: Routing) -> Tensor:
        num_tokens = tokens.shape[0]
        weights = routing.weights.to(tokens.dtype)
        active = routing.active
        if not routing.routes_tokens(offsets.numel() - 1):
            weights = spread(weights, offsets, num_tokens)  # (N, E)
            active = None if active is None else spread(active, offsets, num_tokens)  # (N, k)
        context = self.token_context(routing, offsets, num_tokens)
        if active is None:
            return self._mix(tokens, weights, slice(0, self.num_experts), context)
        out = torch.zeros_like(tokens)
        for expert in range(self.num_experts):
            mine = (active == expert).any(-1).nonzero().squeeze(-1)  # (n,)
            chosen = slice(expert, expert + 1)
            part = self._mix(tokens[mine], weights[mine, chosen], chosen, None if context is None else context[mine])
            out = out.index_add(0, mine, part.to(out.dtype))
        return out

    def _mix(self, tokens: Tensor, weights: Tensor, experts: slice, context: Tensor | None) -> Tensor:
        hidden = self.hidden(tokens, experts, context)  # (n, e, F)
        out = einsum(weights[..., None] * hidden, self.down[experts], "n e f, e f d -> n d")
        bias = self.output_bias()
        return out if bias is None else out + weights @ bias[experts]


class SwiGLUExperts(ExpertBank):
    """``down(silu(gate x) * up x)`` without biases, as in the released PARROT code.

    Args:
        width: Hidden size D of the language model, which visual tokens have too.
        hidden_size: Hidden width F of one expert, at least 1.
        num_experts: Number of experts E, at least 1.
    """

    per_expert: ClassVar[tuple[str, ...]] = ("gate", "up", "down")

    def __init__(self, width: int, hidden_size: int, num_experts: int) -> None:
        super().__init__(width, hidden_size, num_experts)
        self.gate = expert_weight(num_experts, hidden_size, width)  # (E, F, D)
        self.up = expert_weight(num_experts, hidden_size, width)
        self.down = nn.Parameter(torch.zeros(num_experts, hidden_size, width))  # (E, F, D)

    def hidden(self, tokens: Tensor, experts: slice, context: Tensor | None) -> Tensor:
        return silu(project(tokens, self.gate[experts])) * project(tokens, self.up[experts])

    def folded(self, weights: Tensor) -> ExpertBank:
        """One expert that is the mixture under constant weights, exactly: its hidden units are those of all experts.

        ``sum_e p_e down_e(h_e(x)) = [p_1 down_1 ... p_E down_E] [h_1(x) ... h_E(x)]``. Experts of weight zero are
        left out. Any bank may offer this method; ``parrot freeze-routing`` uses it and verifies what it gives.

        Args:
            weights: (E,).
        """
        used = used_experts(weights)
        wide = SwiGLUExperts(self.width, len(used) * self.hidden_size, 1)
        fill(wide, gate=beside(self.gate[used]), up=beside(self.up[used]), down=weighted(self.down, weights, used))
        return wide


class ConditionedSwiGLUExperts(SwiGLUExperts):
    """SwiGLU whose gate also reads the prompt: ``down(silu(gate x + context_gate c) * up x)``.

    ``c`` is the routing context. A *single* one of these did better than a mixture of plain experts of equal size in
    the measurements the README reports; ``num_experts=1`` is a sensible setting.

    Args:
        width: Hidden size D of the language model, which visual tokens have too.
        hidden_size: Hidden width F of one expert, at least 1.
        num_experts: Number of experts E, at least 1.

    Raises:
        ConfigError: (In forward) the router gives no context.
    """

    per_expert: ClassVar[tuple[str, ...]] = ("gate", "up", "down", "context_gate")

    def __init__(self, width: int, hidden_size: int, num_experts: int) -> None:
        super().__init__(width, hidden_size, num_experts)
        self.context_gate = expert_weight(num_experts, hidden_size, width)  # (E, F, D)

    def token_context(self, routing: Routing, offsets: Tensor, num_tokens: int) -> Tensor | None:
        if routing.context is None:
            raise ConfigError(
                explain(
                    "expert 'conditioned-swiglu' needs a router that returns a context, and this one returns None.",
                    to_do="use router='text-guided', or an expert that does not condition (expert='swiglu')",
                )
            )
        return spread(routing.context, offsets, num_tokens)

    def folded(self, weights: Tensor) -> ExpertBank:
        raise ConfigError(
            explain(
                "expert 'conditioned-swiglu' reads each prompt in its gate; no routing makes it prompt-independent.",
                to_do="freeze an adapter whose experts see the picture alone (swiglu, mlp, low-rank, shared-swiglu)",
            )
        )

    def hidden(self, tokens: Tensor, experts: slice, context: Tensor | None) -> Tensor:
        assert context is not None
        gate = project(tokens, self.gate[experts]) + project(context.to(tokens.dtype), self.context_gate[experts])
        return silu(gate) * project(tokens, self.up[experts])


class MLPExperts(ExpertBank):
    """``down(silu(up x + b)) + c``: Linear-SiLU-Linear with biases, as in the paper's text.

    Args:
        width: Hidden size D of the language model, which visual tokens have too.
        hidden_size: Hidden width F of one expert, at least 1.
        num_experts: Number of experts E, at least 1.
    """

    per_expert: ClassVar[tuple[str, ...]] = ("up", "up_bias", "down", "down_bias")

    def __init__(self, width: int, hidden_size: int, num_experts: int) -> None:
        super().__init__(width, hidden_size, num_experts)
        self.up = expert_weight(num_experts, hidden_size, width)  # (E, F, D)
        self.up_bias = nn.Parameter(torch.zeros(num_experts, hidden_size))
        self.down = nn.Parameter(torch.zeros(num_experts, hidden_size, width))
        self.down_bias = nn.Parameter(torch.zeros(num_experts, width))

    def hidden(self, tokens: Tensor, experts: slice, context: Tensor | None) -> Tensor:
        return silu(project(tokens, self.up[experts]) + self.up_bias[experts].to(tokens.dtype))

    def output_bias(self) -> Tensor | None:
        return self.down_bias

    def folded(self, weights: Tensor) -> ExpertBank:
        """As :meth:`SwiGLUExperts.folded`; the last bias is the weighted sum of the experts'."""
        used = used_experts(weights)
        wide = MLPExperts(self.width, len(used) * self.hidden_size, 1)
        bias = einsum(weights.to(torch.float64), self.down_bias.double(), "e, e d -> d")
        fill(
            wide,
            up=beside(self.up[used]),
            up_bias=self.up_bias[used].reshape(1, -1),
            down=weighted(self.down, weights, used),
            down_bias=bias[None],
        )
        return wide


def project(tokens: Tensor, weight: Tensor) -> Tensor:
    """(n, D) tokens through (e, F, D) matrices -> (n, e, F)."""
    return einsum(tokens, weight, "n d, e f d -> n e f")


def used_experts(weights: Tensor) -> list[int]:
    """The experts with a weight."""
    return [int(e) for e in weights.nonzero().flatten()]


def beside(parts: Tensor) -> Tensor:
    """(e, F, D) -> (1, e * F, D): the hidden units of several experts side by side."""
    return rearrange(parts, "e f d -> 1 (e f) d")


def weighted(down: Tensor, weights: Tensor, used: list[int]) -> Tensor:
    """(E, F, D) -> (1, e * F, D) float64, each used expert's last projection times its weight."""
    return beside(down[used].double() * weights[used, None, None].double())


@torch.no_grad()
def fill(bank: nn.Module, **values: Tensor) -> None:
    """Give a bank these parameters."""
    for name, value in values.items():
        getattr(bank, name).copy_(value)
