"""Routed experts beside one that always runs (DeepSeekMoE, arXiv 2401.06066, section 3.2). Letters: ``types.py``.

What all languages need sits in the shared expert once, and the routed ones are free to differ.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, silu

from parrot_adapters.core.experts import ExpertBank, SwiGLUExperts, beside, fill, used_experts, weighted
from parrot_adapters.core.swiglu_passes import SwiGLUWeights, can_run_by_hand, weighted_swiglu
from parrot_adapters.core.types import Routing
from parrot_adapters.core.weights import linear_weight
from parrot_adapters.errors import ConfigError

__all__ = ["SharedSwiGLUExperts"]


class SharedSwiGLUExperts(SwiGLUExperts):
    """``shared(x) + sum_e p_e expert_e(x)``, all of them SwiGLU without biases.

    Args:
        width: Hidden size D of the language model, which visual tokens have too.
        hidden_size: Hidden width F of each routed expert, at least 1.
        num_experts: Number of routed experts E, at least 1.
        shared_hidden_size: F of the shared expert; None makes it as wide as a routed one.
        recompute: As :class:`SwiGLUExperts` has it, for the shared expert too; default None.
        by_hand: As :class:`SwiGLUExperts` has it; default None.
        grouped: As :class:`SwiGLUExperts` has it; default False.

    Raises:
        ConfigError: ``shared_hidden_size`` below 1, or an impossible ``recompute``, ``by_hand`` or ``grouped``.
    """

    takes_any_dtype: ClassVar[bool] = True
    conformance: ClassVar[Mapping[str, Any]] = {"linear_in_weights": True}

    def __init__(
        self,
        width: int,
        hidden_size: int,
        num_experts: int,
        *,
        shared_hidden_size: int | None = None,
        recompute: bool | float | None = None,
        by_hand: bool | None = None,
        grouped: bool = False,
    ) -> None:
        super().__init__(width, hidden_size, num_experts, recompute=recompute, by_hand=by_hand, grouped=grouped)
        size = hidden_size if shared_hidden_size is None else shared_hidden_size
        if size < 1:
            raise ConfigError(f"shared_hidden_size={shared_hidden_size!r} must be at least 1")
        self.shared_gate = linear_weight(size, width)  # (F', D)
        self.shared_up = linear_weight(size, width)
        self.shared_down = nn.Parameter(torch.zeros(size, width))  # (F', D)

    def forward(self, tokens: Tensor, offsets: Tensor, routing: Routing) -> Tensor:
        return super().forward(tokens, offsets, routing) + self._shared(tokens)

    def _shared(self, tokens: Tensor) -> Tensor:
        """(N, D) -> (N, D)"""
        gate, up, down = self.shared_gate, self.shared_up, self.shared_down
        if self.by_hand is not False and can_run_by_hand(tokens, gate, up, down):
            one = SwiGLUWeights(gate[None], up[None], down[None])
            everywhere = tokens.new_ones(tokens.shape[0], 1, dtype=down.dtype)
            return weighted_swiglu(tokens, one, everywhere, recompute=self._share(dense=True))
        tokens = tokens.to(down.dtype)
        return (silu(linear(tokens, gate)) * linear(tokens, up)) @ down

    def folded(self, weights: Tensor) -> ExpertBank:
        """As :meth:`SwiGLUExperts.folded`, with the shared expert's units beside the routed ones'."""
        used = used_experts(weights)
        size = self.shared_up.shape[0] + len(used) * self.hidden_size
        wide = SwiGLUExperts(self.width, size, 1)
        fill(
            wide,
            gate=torch.cat([self.shared_gate[None], beside(self.gate[used])], 1),
            up=torch.cat([self.shared_up[None], beside(self.up[used])], 1),
            down=torch.cat([self.shared_down[None].double(), weighted(self.down, weights, used)], 1),
        )
        return wide
