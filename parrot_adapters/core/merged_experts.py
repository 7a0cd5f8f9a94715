"""Experts merged before they run: average the parameters, then apply one expert (SMEAR, arXiv 2306.03745).

Letters: ``types.py``. A mixture runs E experts and averages their answers; this averages the experts and runs one, so
its cost hardly grows with E. The two agree exactly where one weight is one. For each item the averaged parameters are
3 F D numbers, kept for the backward pass: it suits few images per batch, large images, or small experts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from einops import einsum
from torch import Tensor
from torch.nn.functional import silu

from parrot_adapters.core.experts import ExpertBank, SwiGLUExperts, fill
from parrot_adapters.core.ragged import lengths
from parrot_adapters.core.types import Routing
from parrot_adapters.errors import RoutingError, explain

__all__ = ["MergedExperts"]


class MergedExperts(SwiGLUExperts):
    """One SwiGLU per item, its parameters the routing-weighted average of E: ``sum_e p_ie theta_e``.

    Items of equal length run as one batched matmul; there is no padding. Weights that top-k made zero drop out of
    the average.

    Args:
        width: Hidden size D of the language model, which visual tokens have too.
        hidden_size: Hidden width F of one expert, at least 1.
        num_experts: Number of experts E, at least 1.

    Raises:
        RoutingError: (In forward) the router routes per token; merging parameters for each token makes no sense.
    """

    conformance: ClassVar[Mapping[str, Any]] = {"linear_in_weights": False, "per_token": False}

    def forward(self, tokens: Tensor, offsets: Tensor, routing: Routing) -> Tensor:
        if routing.routes_tokens(offsets.numel() - 1):
            raise RoutingError(
                explain(
                    "expert 'merged' averages parameters per item, and the router routes per token.",
                    to_do="use expert='swiglu', or a router that routes per item",
                )
            )
        weights = routing.weights.to(tokens.dtype)  # (I, E)
        sizes = lengths(offsets)
        out = torch.zeros_like(tokens)
        for size in torch.unique(sizes).tolist():
            items = (sizes == size).nonzero().squeeze(-1)  # (g,)
            index = offsets[items][:, None] + torch.arange(size, device=tokens.device)  # (g, T)
            gate, up, down = (
                einsum(weights[items], theta, "g e, e f d -> g f d") for theta in (self.gate, self.up, self.down)
            )
            mine = tokens[index]  # (g, T, D)
            hidden = silu(einsum(mine, gate, "g t d, g f d -> g t f")) * einsum(mine, up, "g t d, g f d -> g t f")
            part = einsum(hidden, down, "g t f, g f d -> g t d")
            out = out.index_put((index,), part.to(out.dtype))
        return out

    def folded(self, weights: Tensor) -> ExpertBank:
        """The average itself: one SwiGLU of the same hidden size."""
        one = SwiGLUExperts(self.width, self.hidden_size, 1)
        for name in ("gate", "up", "down"):
            average = einsum(weights.double(), getattr(self, name).double(), "e, e f d -> f d")
            fill(one, **{name: average[None]})
        return one
