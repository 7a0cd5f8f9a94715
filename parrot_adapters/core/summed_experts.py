"""A weighted sum of expert banks under one routing, as one bank, exactly: their hidden units side by side.

    sum_k w_k sum_e p_e B_ke h_ke(x) = sum_e p_e [w_1 B_1e ... w_K B_Ke] [h_1e(x) ... h_Ke(x)]

Letters: ``types.py``; ``B`` is ``down``, ``h`` the hidden units of an expert, k a bank. Each bank of the library is of
this form, and so are low-rank experts inside layers, gated ones too: a unit's gate goes where the unit goes. Merged
experts are as well, since they average unit by unit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from parrot_adapters.core.experts import ConditionedSwiGLUExperts, MLPExperts, SwiGLUExperts
from parrot_adapters.core.gated_layer_experts import GatedLayerExpert
from parrot_adapters.core.layer_experts import LayerExpert
from parrot_adapters.core.lowrank_experts import LowRankExperts
from parrot_adapters.core.merged_experts import MergedExperts
from parrot_adapters.core.shared_experts import SharedSwiGLUExperts

__all__ = ["are_summable", "sum_experts"]

SUMMABLE = (
    *(SwiGLUExperts, ConditionedSwiGLUExperts, MLPExperts, SharedSwiGLUExperts, MergedExperts, LowRankExperts),
    *(LayerExpert, GatedLayerExpert),
)
UNIT_AXIS = {  # parameter -> the axis of its hidden units
    **dict.fromkeys(("gate", "up", "up_bias", "down", "context_gate", "compress"), 1),
    **dict.fromkeys(("shared_gate", "shared_up", "shared_down", "shared_compress"), 0),
}
ANSWERS = ("down", "shared_down", "down_bias")  # what a bank's answer is linear in


def are_summable(experts: nn.Module) -> bool:
    """Whether experts are of the library's own kinds; a subclass may compute something else.

    Args:
        experts: An expert bank, or the experts of one linear layer.
    """
    return type(experts) in SUMMABLE


def sum_experts(states: Sequence[Mapping[str, Tensor]], factors: Sequence[float]) -> dict[str, Tensor]:
    """The parameters of the one bank that is the weighted sum of several, computed in float64.

    Args:
        states: Parameters of each bank by name; names may be paths, and shared experts may be missing in some. Banks
            differ in nothing but the number of hidden units.
        factors: Factor of each bank.

    Returns:
        Parameters by name, on the CPU, in the widest dtype among the banks'.
    """
    made = {}
    for name in dict.fromkeys(name for state in states for name in state):
        last = name.rpartition(".")[2]
        pairs = [
            (state[name].detach().cpu(), factor) for state, factor in zip(states, factors, strict=True) if name in state
        ]
        dtype = pairs[0][0].dtype
        for value, _ in pairs:
            dtype = torch.promote_types(dtype, value.dtype)
        parts = [value.double() * factor if last in ANSWERS else value for value, factor in pairs]
        whole = torch.cat(parts, UNIT_AXIS[last]) if last in UNIT_AXIS else torch.stack(parts).sum(0)
        made[name] = whole.to(dtype)
    return made
