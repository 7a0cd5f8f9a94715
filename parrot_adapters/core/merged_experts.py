"""Experts merged before they run: average the parameters, then apply one expert (SMEAR, arXiv 2306.03745).

Letters: ``types.py``. A mixture runs E experts and averages their answers; this averages the experts and runs one, so
its cost hardly grows with E. The two agree exactly where one weight is one. It runs by hand (``merged_passes.py``)
where it can; by autograd, the averaged parameters are kept for the backward pass, 3 F D numbers for each item.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from einops import einsum
from torch import Tensor
from torch.nn.functional import silu

from parrot_adapters.core.experts import ExpertBank, SwiGLUExperts, fill, project
from parrot_adapters.core.merged_passes import merged_swiglu
from parrot_adapters.core.ragged import lengths, on_device, spread
from parrot_adapters.core.swiglu_passes import can_run_by_hand
from parrot_adapters.core.types import Routing
from parrot_adapters.errors import RoutingError, explain

__all__ = ["MergedExperts"]


class MergedExperts(SwiGLUExperts):
    """One SwiGLU per item, its parameters the routing-weighted average of E: ``sum_e p_ie theta_e``.

    There is no padding. Weights that top-k made zero drop out of the average.

    Args:
        width: Hidden size D of the language model, which visual tokens have too.
        hidden_size: Hidden width F of one expert, at least 1.
        num_experts: Number of experts E, at least 1.
        recompute: As :class:`SwiGLUExperts` has it, all (a share of one half or more) or nothing; default None is
            nothing.
        by_hand: As :class:`SwiGLUExperts` has it; default None.
        grouped: Nothing that merged experts could do; default False.

    Raises:
        ConfigError: An impossible ``recompute`` or ``by_hand``.
        RoutingError: (In forward) the router routes per token; merging parameters for each token makes no sense. A
            layer of such a router and these experts is refused when it is made.
    """

    takes_any_dtype: ClassVar[bool] = True
    takes_sizes: ClassVar[bool] = True  # the numbers of tokens of the items, as AlignmentLayer hands them on
    conformance: ClassVar[Mapping[str, Any]] = {"linear_in_weights": False, "per_token": False}

    def forward(self, tokens: Tensor, offsets: Tensor, routing: Routing, sizes: Sequence[int] | None = None) -> Tensor:
        if routing.routes_tokens(offsets.numel() - 1):
            raise RoutingError(
                explain(
                    "expert 'merged' averages parameters per item, and the router routes per token.",
                    to_do="use expert='swiglu', or a router that routes per item",
                )
            )
        weights = routing.weights.to(self.down.dtype)  # (I, E)
        bank = self.gate, self.up, self.down
        if torch.compiler.is_compiling():
            return self._by_token(tokens.to(self.down.dtype), offsets, weights)
        if self.by_hand is not False and can_run_by_hand(tokens, weights, *bank):
            again = float(self.recompute or 0) >= 0.5
            return merged_swiglu(tokens, _known(sizes, offsets), weights, *bank, recompute=again)
        return self._by_size(tokens.to(self.down.dtype), offsets, weights, _known(sizes, offsets))

    def _by_size(self, tokens: Tensor, offsets: Tensor, weights: Tensor, sizes: list[int]) -> Tensor:
        """Items of equal length as one batched matmul."""
        out = torch.zeros_like(tokens)
        for size in sorted(set(sizes)):
            items = on_device([item for item, own in enumerate(sizes) if own == size], tokens.device)  # (g,)
            index = offsets[items][:, None] + torch.arange(size, device=tokens.device)  # (g, T)
            gate, up, down = (
                einsum(weights[items], theta, "g e, e f d -> g f d") for theta in (self.gate, self.up, self.down)
            )
            mine = tokens[index]  # (g, T, D)
            hidden = silu(einsum(mine, gate, "g t d, g f d -> g t f")) * einsum(mine, up, "g t d, g f d -> g t f")
            part = einsum(hidden, down, "g t f, g f d -> g t d")
            out = out.index_put((index,), part.to(out.dtype))
        return out

    def _by_token(self, tokens: Tensor, offsets: Tensor, weights: Tensor) -> Tensor:
        """The same with nothing merged: the average's projection of a token is the average of the projections.

        For what torch compiles, which has to know the size of every matrix; it costs what a dense bank costs.
        """
        share = spread(weights, offsets, tokens.shape[0])  # (N, E)
        gate, up = (einsum(share, project(tokens, theta), "n e, n e f -> n f") for theta in (self.gate, self.up))
        units = share[:, :, None] * (silu(gate) * up)[:, None]  # (N, E, F)
        return einsum(units, self.down, "n e f, e f d -> n d")

    def folded(self, weights: Tensor) -> ExpertBank:
        """The average itself: one SwiGLU of the same hidden size."""
        one = SwiGLUExperts(self.width, self.hidden_size, 1)
        for name in ("gate", "up", "down"):
            average = einsum(weights.double(), getattr(self, name).double(), "e, e f d -> f d")
            fill(one, **{name: average[None]})
        return one


def _known(sizes: Sequence[int] | None, offsets: Tensor) -> list[int]:
    """The number of tokens of each item; read off the device, which waits for it, where nobody has said them."""
    return list(sizes) if sizes is not None else lengths(offsets).tolist()
