"""Expert banks: E feed-forward experts and their weighted sum (letters: ``types.py``).

A bank is a module ``forward(tokens, offsets, routing) -> (N, D)`` made by
``factory(width, hidden_size, num_experts, **options)``. The three banks here share two paths, and the tests hold both
to a plain loop over experts:

* dense: a weighted sum of E experts is *one* expert of hidden width E * F whose hidden units are scaled by the
  routing weights, so it runs as one wide matmul each way;
* top-k: tokens are sorted by expert and each expert sees its own, cost k / E. The parameters of an expert without
  tokens get a gradient of zero, so that no rank of a distributed run waits for another.

SwiGLU banks run either by hand (``swiglu_passes.py``), for less time and memory. The last projection starts at zero:
attaching an adapter changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from einops import einsum, rearrange
from torch import Tensor, nn
from torch.nn.functional import silu

from parrot_adapters.core.grouped_passes import GroupedTokens, can_be_grouped, grouped_swiglu
from parrot_adapters.core.ragged import item_of_token, spread
from parrot_adapters.core.sorted_tokens import SortedTokens
from parrot_adapters.core.swiglu_passes import (
    Span,
    SwiGLUWeights,
    can_run_by_hand,
    computed_in,
    weighted_swiglu,
)
from parrot_adapters.core.types import Routing
from parrot_adapters.core.weights import expert_weight
from parrot_adapters.errors import ConfigError, explain

__all__ = ["ConditionedSwiGLUExperts", "ExpertBank", "MLPExperts", "SwiGLUExperts"]

RECOMPUTED = 1 / 3  # with six experts, what is kept is 0.29 of what a plain module keeps; it costs 1.06 of the time


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
    takes_any_dtype: ClassVar[bool] = True  # tokens may come in the host's dtype, answers are in the parameters'

    def __init_subclass__(cls, **options: object) -> None:
        super().__init_subclass__(**options)
        if "forward" in cls.__dict__ and "takes_any_dtype" not in cls.__dict__:
            cls.takes_any_dtype = False  # a forward of its own may count on the dtype of its parameters

    def __init__(self, width: int, hidden_size: int, num_experts: int) -> None:
        super().__init__()
        self.width, self.hidden_size, self.num_experts = width, hidden_size, num_experts

    @classmethod
    def default_hidden_size(cls, width: int) -> int:
        """F where a config leaves it open, for a host of width D: as wide, as in the paper (4096 and 4096)."""
        return width

    def hidden(self, tokens: Tensor, experts: slice, context: Tensor | None) -> Tensor:
        """(n, D) tokens, (n, D) or None context -> (n, e, F) hidden units of the experts in the slice."""
        return self.units({name: getattr(self, name)[experts] for name in self.per_expert}, tokens, context)

    def units(self, of: Mapping[str, Tensor], tokens: Tensor, context: Tensor | None) -> Tensor:
        """As ``hidden``, of the experts whose parameters are given: a bank with this one needs no ``hidden``, and its
        top-k is as cheap with many experts as with few.
        """
        raise NotImplementedError

    def output_bias(self) -> Tensor | None:
        """(E, D) bias of the last projection, or None."""
        return None

    def item_context(self, routing: Routing) -> Tensor | None:
        """(I, D) what the router read in each item's prompt; only conditioned banks want it."""
        return None

    def forward(self, tokens: Tensor, offsets: Tensor, routing: Routing) -> Tensor:
        num_tokens = tokens.shape[0]
        weights, active = routing.weights.to(self.down.dtype), routing.active
        if not routing.routes_tokens(offsets.numel() - 1):
            weights = spread(weights, offsets, num_tokens)  # (N, E)
            active = None if active is None else spread(active, offsets, num_tokens)  # (N, k)
        context = self.item_context(routing)
        item = None if context is None else item_of_token(offsets, num_tokens)
        if active is None or num_tokens == 0:
            return self._dense(tokens, weights, context, item)
        if torch.compiler.is_compiling() or type(self).hidden is not ExpertBank.hidden:
            return self._one_by_one(tokens, weights, active, None if context is None else context[item])
        grouped = self._grouped(tokens, weights, active, context, item)
        if grouped is not None:
            return grouped
        chosen = SortedTokens.by_expert(active, self.num_experts)
        if not chosen.spans:  # no token has an expert, and still every parameter takes part
            return self._dense(tokens, weights * chosen.mask, context, item)
        mine = weights[chosen.rows, chosen.experts, None]  # (M, 1)
        item = None if item is None else item[chosen.rows]
        part = self._sorted(tokens[chosen.rows], mine, chosen.spans, context, item)
        out = self._gathered(part, chosen.rows, tokens)
        bias = self.output_bias()
        return out if bias is None else out + (weights * chosen.mask) @ bias

    def _gathered(self, part: Tensor, rows: Tensor, tokens: Tensor) -> Tensor:
        """(M, D) answers for the tokens in these rows -> (N, D) sums."""
        out = tokens.new_zeros(tokens.shape, dtype=self.down.dtype)
        return out.index_add(0, rows, part.to(out.dtype))

    def _grouped(
        self, tokens: Tensor, weights: Tensor, active: Tensor, context: Tensor | None, item: Tensor | None
    ) -> Tensor | None:
        """Top-k without knowing how many tokens an expert has, (N, D); None where a bank cannot."""
        return None

    def _dense(self, tokens: Tensor, weights: Tensor, context: Tensor | None, item: Tensor | None) -> Tensor:
        """All experts: tokens (N, D), routing weights (N, E), contexts (I, D), each token's item (N,) -> (N, D)."""
        return self._mix(tokens, weights, slice(0, self.num_experts), None if context is None else context[item])

    def _sorted(
        self, tokens: Tensor, weights: Tensor, spans: tuple[Span, ...], context: Tensor | None, item: Tensor | None
    ) -> Tensor:
        """One expert for each row: tokens (M, D), their weights (M, 1) -> (M, D), without the last bias."""
        # Taken apart once: the gradient of a slice would be as large as the whole bank, for every expert.
        apart = {name: getattr(self, name).unbind() for name in self.per_expert}
        parts = []
        for rows, experts in spans:
            of = {name: each[experts.start][None] for name, each in apart.items()}
            read = None if context is None or item is None else context[item[rows]]
            hidden = self.units(of, tokens[rows].to(self.down.dtype), read)  # (n, 1, F)
            parts.append(einsum(weights[rows, :, None] * hidden, of["down"], "n e f, e f d -> n d"))
        return torch.cat(parts)

    def _one_by_one(self, tokens: Tensor, weights: Tensor, active: Tensor, context: Tensor | None) -> Tensor:
        """Top-k with nothing but ``hidden``; an expert without tokens runs on zero rows."""
        out = tokens.new_zeros(tokens.shape, dtype=self.down.dtype)
        for expert in range(self.num_experts):
            mine = (active == expert).any(-1).nonzero().squeeze(-1)  # (n,)
            chosen = slice(expert, expert + 1)
            part = self._mix(tokens[mine], weights[mine, chosen], chosen, None if context is None else context[mine])
            out = out.index_add(0, mine, part.to(out.dtype))
        return out

    def _mix(self, tokens: Tensor, weights: Tensor, experts: slice, context: Tensor | None) -> Tensor:
        hidden = self.hidden(tokens.to(self.down.dtype), experts, context)  # (n, e, F)
        out = einsum(weights[..., None] * hidden, self.down[experts], "n e f, e f d -> n d")
        bias = self.output_bias()
        return out if bias is None else out + weights @ bias[experts]


class SwiGLUExperts(ExpertBank):
    """``down(silu(gate x) * up x)`` without biases, as in the released PARROT code.

    Args:
        width: Hidden size D of the language model, which visual tokens have too.
        hidden_size: Hidden width F of one expert, at least 1.
        num_experts: Number of experts E, at least 1.
        recompute: Share of the hidden units, 0 to 1, that the backward pass computes again instead of the forward pass
            keeping them: True (all) saves nearly all the memory of training the bank for about a quarter more of its
            time; False keeps two numbers for each hidden unit of each token. None (default) is a third of the experts
            where all run on every token in full precision on a processor, else none.
        by_hand: Whether forward and backward run as written by hand rather than by autograd; None (default) is yes,
            where tensors allow it. Answers and gradients are the same up to rounding.
        grouped: Whether top-k runs all experts in grouped products, which need not know how many tokens each has and so
            do not wait for a GPU, wherever torch can (default: no; it was never run on a GPU). Not where ``by_hand`` is
            False.

    Raises:
        ConfigError: ``recompute`` outside 0..1, or an option that is of another type.
    """

    per_expert: ClassVar[tuple[str, ...]] = ("gate", "up", "down")

    def __init__(
        self,
        width: int,
        hidden_size: int,
        num_experts: int,
        *,
        recompute: bool | float | None = None,
        by_hand: bool | None = None,
        grouped: bool = False,
    ) -> None:
        super().__init__(width, hidden_size, num_experts)
        self.recompute, self.by_hand, self.grouped = known_recompute(recompute), by_hand, grouped
        if by_hand not in (None, True, False):
            raise ConfigError(f"by_hand={by_hand!r} must be True, False or None")
        if grouped not in (True, False):
            raise ConfigError(f"grouped={grouped!r} must be True or False")
        self.gate = expert_weight(num_experts, hidden_size, width)  # (E, F, D)
        self.up = expert_weight(num_experts, hidden_size, width)
        self.down = nn.Parameter(torch.zeros(num_experts, hidden_size, width))  # (E, F, D)
        self.make_context_gate(width, hidden_size, num_experts)

    def make_context_gate(self, width: int, hidden_size: int, num_experts: int) -> None:
        """Make the weights with which the gate reads the routing context; this bank's does not."""

    def units(self, of: Mapping[str, Tensor], tokens: Tensor, context: Tensor | None) -> Tensor:
        return silu(project(tokens, of["gate"])) * project(tokens, of["up"])

    def _dense(self, tokens: Tensor, weights: Tensor, context: Tensor | None, item: Tensor | None) -> Tensor:
        found = self._by_hand(tokens, weights, None, context, item)
        return super()._dense(tokens, weights, context, item) if found is None else found

    def _sorted(
        self, tokens: Tensor, weights: Tensor, spans: tuple[Span, ...], context: Tensor | None, item: Tensor | None
    ) -> Tensor:
        found = self._by_hand(tokens, weights, spans, context, item)
        return super()._sorted(tokens, weights, spans, context, item) if found is None else found

    def _by_hand(
        self,
        tokens: Tensor,
        weights: Tensor,
        spans: tuple[Span, ...] | None,
        context: Tensor | None,
        item: Tensor | None,
    ) -> Tensor | None:
        """The same by hand, or None where that cannot be."""
        if not self._may_run_by_hand(tokens, weights, context):
            return None
        bank = SwiGLUWeights(self.gate, self.up, self.down, self._shift(context))
        return weighted_swiglu(tokens, bank, weights, spans, item=item, recompute=self._share(dense=spans is None))

    def _may_run_by_hand(self, tokens: Tensor, weights: Tensor, context: Tensor | None) -> bool:
        told_otherwise = self.by_hand is False or type(self).hidden is not ExpertBank.hidden
        return not told_otherwise and can_run_by_hand(tokens, weights, context, self.gate, self.up, self.down)

    def _grouped(
        self, tokens: Tensor, weights: Tensor, active: Tensor, context: Tensor | None, item: Tensor | None
    ) -> Tensor | None:
        asked = self.grouped and can_be_grouped(self.gate)
        if not asked or not self._may_run_by_hand(tokens, weights, context):
            return None
        groups = GroupedTokens.by_expert(active, self.num_experts)
        mine = (weights[groups.rows, groups.experts] * groups.counts)[:, None]  # (M, 1)
        bank = SwiGLUWeights(self.gate, self.up, self.down, self._shift(context))
        item, again = None if item is None else item[groups.rows], float(self.recompute or 0) >= 0.5
        part = grouped_swiglu(tokens[groups.rows], bank, mine, groups, item=item, recompute=again)
        return self._gathered(part, groups.rows, tokens)

    def _share(self, *, dense: bool) -> float:
        """The share of the hidden units that is computed again, where nobody has said one too."""
        if self.recompute is not None:
            return float(self.recompute)
        affordable = dense and self.gate.device.type == "cpu" and computed_in(self.gate).itemsize >= 4
        return RECOMPUTED if affordable else 0.0

    def _shift(self, context: Tensor | None) -> Tensor | None:
        """(I, D) -> (I, E, F), what is added to the gates of an item; nothing here."""
        return None

    def extra_repr(self) -> str:
        return f"recompute={self.recompute}"

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
        recompute: Share of the hidden units, 0 to 1, that the backward pass computes again instead of the forward pass
            keeping them: True (all) saves nearly all the memory of training the bank for about a quarter more of its
            time; False keeps two numbers for each hidden unit of each token. None (default) is a third of the experts
            where all run on every token in full precision on a processor, else none.
        by_hand: Whether forward and backward run as written by hand rather than by autograd; None (default) is yes,
            where tensors allow it. Answers and gradients are the same up to rounding.
        grouped: Whether top-k runs all experts in grouped products, which need not know how many tokens each has and so
            do not wait for a GPU, wherever torch can (default: no; it was never run on a GPU). Not where ``by_hand`` is
            False.

    Raises:
        ConfigError: (In forward) the router gives no context.
    """

    per_expert: ClassVar[tuple[str, ...]] = ("gate", "up", "down", "context_gate")

    needs_context: ClassVar[bool] = True

    def make_context_gate(self, width: int, hidden_size: int, num_experts: int) -> None:
        self.context_gate = expert_weight(num_experts, hidden_size, width)  # (E, F, D)

    def item_context(self, routing: Routing) -> Tensor | None:
        if routing.context is None:
            raise ConfigError(
                explain(
                    "expert 'conditioned-swiglu' needs a router that returns a context, and this one returns None.",
                    to_do="use router='text-guided', or an expert that does not condition (expert='swiglu')",
                )
            )
        return routing.context.to(self.down.dtype)

    def folded(self, weights: Tensor) -> ExpertBank:
        raise ConfigError(
            explain(
                "expert 'conditioned-swiglu' reads each prompt in its gate; no routing makes it prompt-independent.",
                to_do="freeze an adapter whose experts see the picture alone (swiglu, mlp, low-rank, shared-swiglu)",
            )
        )

    def units(self, of: Mapping[str, Tensor], tokens: Tensor, context: Tensor | None) -> Tensor:
        assert context is not None
        gate = project(tokens, of["gate"]) + project(context, of["context_gate"])
        return silu(gate) * project(tokens, of["up"])

    def _shift(self, context: Tensor | None) -> Tensor | None:
        return None if context is None else project(context, self.context_gate)


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

    def units(self, of: Mapping[str, Tensor], tokens: Tensor, context: Tensor | None) -> Tensor:
        return silu(project(tokens, of["up"]) + of["up_bias"].to(tokens.dtype))

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


def known_recompute(share: bool | float | None) -> bool | float | None:
    """The option as it was given, if it is a share."""
    if share is not None and (not isinstance(share, int | float) or not 0 <= share <= 1):
        raise ConfigError(
            explain(
                f"recompute={share!r} is no share of the hidden units.",
                to_do="give True (all are computed again), False (none), a number from 0 to 1, or None (the default)",
            )
        )
    return share


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
