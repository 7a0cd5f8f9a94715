"""New parameters, initialised as ``torch.nn.Linear`` initialises its own (letters: ``types.py``).

Bare parameters rather than ``nn.Linear``: PEFT's ``target_modules="all-linear"`` would put LoRA on a Linear.
"""

from __future__ import annotations

import torch
from torch import nn

__all__ = ["expert_weight", "linear_weight"]


def linear_weight(out_features: int, in_features: int) -> nn.Parameter:
    """(out, in)."""
    return nn.Parameter(nn.init.kaiming_uniform_(torch.empty(out_features, in_features), a=5**0.5))


def expert_weight(num_experts: int, out_features: int, in_features: int) -> nn.Parameter:
    """(E, out, in): one matrix per expert."""
    bound = in_features**-0.5  # what kaiming_uniform_ comes to, which would take ``out`` for an axis of the input here
    return nn.Parameter(nn.init.uniform_(torch.empty(num_experts, out_features, in_features), -bound, bound))
