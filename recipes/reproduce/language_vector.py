"""The smallest thing that can know a language: one learned vector for each, added to every visual token.

    pa.AdapterConfig(router="language-id", expert="vector", num_experts=6, ...)

An arm of the study, and a small complete plugin of an expert.

N  visual tokens    I  images    D  width    E  experts
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

import parrot_adapters as pa

__all__ = ["VectorExperts", "register_experts"]


class VectorExperts(nn.Module):
    """Expert ``e`` adds the vector ``v_e``, whatever the token; all start at zero.

    Args:
        width: D.
        hidden_size: of no use to a vector; taken because every bank is given one.
        num_experts: E.
    """

    def __init__(self, width: int, hidden_size: int, num_experts: int) -> None:
        super().__init__()
        self.vectors = nn.Parameter(torch.zeros(num_experts, width))  # (E, D)

    def forward(self, tokens: Tensor, offsets: Tensor, routing: pa.Routing) -> Tensor:
        added = routing.weights.to(tokens.dtype) @ self.vectors.to(tokens.dtype)  # (I, D), or (N, D) if tokens route
        if not routing.routes_tokens(offsets.numel() - 1):
            added = added.repeat_interleave(offsets.diff(), 0, output_size=len(tokens))
        return added


@pa.hookimpl
def register_experts(register: Callable[[str, type[nn.Module]], Any]) -> None:
    register("vector", VectorExperts)
