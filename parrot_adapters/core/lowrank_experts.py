"""Experts that cost almost nothing: a low-rank linear map each, as LoRA (arXiv 2106.09685). Letters: ``types.py``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from parrot_adapters.core.experts import ExpertBank, beside, fill, project, used_experts, weighted
from parrot_adapters.core.weights import expert_weight

__all__ = ["LowRankExperts"]


class LowRankExperts(ExpertBank):
    """``scale * down(compress x)`` per expert, rank F: LoRA's A is ``compress``, its B ``down``, which starts at zero.

    All experts run as one matmul to E * F and one back. ``expert_hidden_size`` is the rank: 8 to 64 are usual, and
    D / 64 within these the default.

    Args:
        width: Hidden size D of the language model, which visual tokens have too.
        hidden_size: Rank F of each expert, at least 1.
        num_experts: Number of experts E, at least 1.
        scale: LoRA's ``alpha / rank``.
    """

    per_expert: ClassVar[tuple[str, ...]] = ("compress", "down")

    def __init__(self, width: int, hidden_size: int, num_experts: int, *, scale: float = 1.0) -> None:
        super().__init__(width, hidden_size, num_experts)
        self.scale = scale
        self.compress = expert_weight(num_experts, hidden_size, width)  # (E, F, D)
        self.down = nn.Parameter(torch.zeros(num_experts, hidden_size, width))  # (E, F, D)

    @classmethod
    def default_hidden_size(cls, width: int) -> int:
        return min(max(width // 64, 8), 64)

    def units(self, of: Mapping[str, Tensor], tokens: Tensor, context: Tensor | None) -> Tensor:
        return self.scale * project(tokens, of["compress"])

    def folded(self, weights: Tensor) -> ExpertBank:
        """One map of rank e * F, as :meth:`SwiGLUExperts.folded`; ``scale`` goes into ``down``."""
        used = used_experts(weights)
        wide = LowRankExperts(self.width, len(used) * self.hidden_size, 1)
        fill(wide, compress=beside(self.compress[used]), down=self.scale * weighted(self.down, weights, used))
        return wide
