"""A router that is left as it is while its experts become families (letters: ``types.py``, and G families).

The router chooses among families, exactly as it chose among experts before, top-k included. A second, small gate ``U``
shares a family's weight among its members:

    p_e = P_f(e) s_e,      s = softmax over the members of f of (U c + log prior)

With ``U = 0`` and even priors each member gets the same share; so twins of one expert, whose last projections differ by
``+d`` and ``-d``, answer together as it did, whatever the router, sparse or dense.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from parrot_adapters.core.attention import NORMALIZERS
from parrot_adapters.core.layer import keep_top_k
from parrot_adapters.core.precision import float32_inside
from parrot_adapters.core.prior import add_log_prior, known_prior
from parrot_adapters.core.ragged import on_device, spread
from parrot_adapters.core.types import Routing, RoutingInputs
from parrot_adapters.errors import ConfigError

__all__ = ["GrownRouter"]


class GrownRouter(nn.Module):
    """Routes among families by ``inner``, and within a family by a gate of its own.

    The gate reads the routing context, or the picture's summary where ``inner`` gives none.

    Args:
        width: D.
        inner: Router module over G families.
        families: Number of each expert's family, (E,), 0 to G - 1; every family has a member.
        prior: Constant shares of the experts within their families, (E,), positive; None (default) gives all the same.
        top_k: Number of families kept, their weights renormalised; None (default) keeps what ``inner`` chose.

    Raises:
        ConfigError: Impossible ``families``, ``prior`` or ``top_k``.
    """

    def __init__(
        self,
        width: int,
        inner: nn.Module,
        families: Sequence[int],
        *,
        prior: Sequence[float] | None = None,
        top_k: int | None = None,
    ) -> None:
        super().__init__()
        self.families = tuple(families)
        count = len(set(self.families))
        if set(self.families) != set(range(count)):
            raise ConfigError(f"families={list(families)!r} must number families from 0 on, leaving none out")
        if top_k is not None and not 1 <= top_k <= count:
            raise ConfigError(f"top_k={top_k!r} must lie between 1 and {count}, the number of families")
        self.prior, self.top_k, self.inner = known_prior(prior, len(self.families)), top_k, inner
        self.members = nn.Parameter(torch.zeros(len(self.families), width))  # (E, D)

    @property
    def conformance(self) -> Mapping[str, Any]:
        """It reads the prompt where ``inner`` does."""
        inner: Mapping[str, Any] = getattr(self.inner, "conformance", {})
        return {"uses_text": inner["uses_text"]} if "uses_text" in inner else {}

    def forward(self, inputs: RoutingInputs) -> Routing:
        chosen: Routing = self.inner(inputs)
        if self.top_k is not None:
            chosen = keep_top_k(chosen, self.top_k)
        family = on_device(self.families, inputs.summary.device)  # (E,)
        with float32_inside(inputs.summary):
            read = inputs.summary if chosen.context is None else chosen.context
            scores = add_log_prior(linear(NORMALIZERS["rms"](read.float()), self.members.float()), self.prior)  # (I, E)
            if chosen.routes_tokens(inputs.offsets.numel() - 1):
                scores = spread(scores, inputs.offsets, inputs.tokens.shape[0])  # (N, E)
            share = within(scores, family, max(self.families) + 1)
            weights = chosen.weights.float()[:, family] * share.exp()
            logits = chosen.logits[:, family] + share
        active = chosen.active
        if active is not None:  # rows with small families name experts of weight zero besides
            largest = sorted(map(self.families.count, set(self.families)), reverse=True)
            active = weights.topk(sum(largest[: active.shape[-1]]), dim=-1).indices
        return chosen._replace(weights=weights, logits=logits, active=active)

    def extra_repr(self) -> str:
        return f"families={self.families}, top_k={self.top_k}"


def within(scores: Tensor, family: Tensor, count: int) -> Tensor:
    """Logarithm of a softmax over the members of each family.

    Args:
        scores: (..., E) float32.
        family: (E,) int64.
        count: G.
    """
    member = family == torch.arange(count, device=family.device)[:, None]  # (G, E)
    total = scores[..., None, :].masked_fill(~member, -torch.inf).logsumexp(-1)  # (..., G)
    return scores - total[..., family]
