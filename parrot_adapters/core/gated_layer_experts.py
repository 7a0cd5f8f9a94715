"""Low-rank experts inside linear layers whose hidden units the prompt opens and closes. Letters: ``layer_experts.py``.

    y_n <- y_n + scale * sum_e p_ie B_e (2 sigmoid(C_e c_i) * A_e x_n)        c_i the routing context of item i

Causal attention lets no visual token see the question behind it; the context is how these layers read it beyond the
routing weights. ``C`` starts at zero, where the gate is one: the low-rank experts of ``layer_experts.py``.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from parrot_adapters.core.layer_experts import LayerExpert
from parrot_adapters.errors import ConfigError

__all__ = ["GatedLayerExpert"]


class GatedLayerExpert(LayerExpert):
    """Low-rank experts of one linear layer whose gate reads the routing context; a router without one is refused.

    Args:
        in_features: Width of the layer's input.
        out_features: Width of the layer's output.
        num_experts: Number of routed experts E.
        rank: Rank of each routed expert, at least 1.
        width: Hidden size D of the language model, which is the width of the routing context.
        shared_rank: Rank of the shared expert beside them; 0 (default) for none.
        layer_scale: Factor of the experts' sum, LoRA's ``alpha / rank`` (default 2).
        layer_dropout: Share of the input's values that training leaves out before the experts (default 0).

    Raises:
        ConfigError: As :class:`LayerExpert`, or no width.
    """

    needs_context: ClassVar[bool] = True
    per_expert: ClassVar[tuple[str, ...]] = ("compress", "down", "gate")

    def make_gate(self, num_experts: int, rank: int, width: int) -> None:
        if width < 1:
            raise ConfigError("experts whose gate reads the routing context need its width D, and it is not known")
        self.gate = nn.Parameter(torch.zeros(num_experts, rank, width))  # (E, r, D)
        if self.shared_rank:
            self.shared_gate = nn.Parameter(torch.zeros(self.shared_rank, width))  # (r_0, D)

    def units(self, weights: Tensor, context: Tensor | None) -> Tensor:
        """(N, K + D): the factors of the hidden units without the gate, and the context that the gate reads."""
        assert context is not None
        return torch.cat([super().units(weights, None), context], 1)

    def forward(self, tokens: Tensor, units: Tensor, positions: Tensor | None = None) -> Tensor:
        """What is added to the layer's output.

        Args:
            tokens: Float tensor (N, in), the layer's input at visual tokens; with ``positions`` all of it, (M, in).
            units: Float tensor (N, K + D), from :meth:`units`.
            positions: As for :class:`LayerExpert`.

        Returns:
            (N, out), in the dtype of the parameters.
        """
        gate = self.gate.flatten(0, 1)  # (E r, D)
        if self.shared_rank:
            gate = torch.cat([self.shared_gate, gate])
        factors, context = units.to(gate.dtype).split([gate.shape[0], gate.shape[1]], 1)
        return super().forward(tokens, factors * (2 * linear(context, gate).sigmoid()), positions)
