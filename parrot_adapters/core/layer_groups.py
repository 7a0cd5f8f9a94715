"""One weight vector for each group of decoder layers, out of the router's one answer. Letters: ``types.py``.

    p_g  ~  p exp(p M_g),    normalised to the sum of p          g one of G groups of layers, M_g (E, E), zero at first

The prompt is read once; every group then leans the answer its own way, by what the answer is. At ``M = 0`` all groups
have the router's very weights, bit for bit. An expert without weight stays without, so that ``top_k``, abstaining
routers and routing per token mean what they mean for one vector; and since ``p_g`` is a function of ``p`` alone, frozen
and grown adapters are exact.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from parrot_adapters.core.precision import float32_inside
from parrot_adapters.errors import ConfigError

__all__ = ["GroupWeights", "group_of_each", "layer_number"]


class GroupWeights(nn.Module):
    """Weights of the experts in each group of layers.

    Args:
        groups: Number of groups G.
        num_experts: Number of routed experts E.
    """

    def __init__(self, groups: int, num_experts: int) -> None:
        super().__init__()
        self.tilts = nn.Parameter(torch.zeros(groups, num_experts, num_experts))  # (G, E, E)

    def forward(self, weights: Tensor) -> Tensor:
        """(N, E) -> (G, N, E). Rows add up to what they added up to; a row of zeros stays one."""
        with float32_inside(weights):
            tilt = torch.einsum("ne,gef->gnf", weights, self.tilts.to(weights.dtype))
        least = torch.finfo(weights.dtype).min
        top = tilt.detach().masked_fill(weights <= 0, least).amax(-1, keepdim=True)  # (G, N, 1)
        tilted = weights * (tilt - top).clamp(max=0).exp()
        # Both sums in one call: where nothing is tilted their ratio is one, bit for bit.
        before, after = torch.stack([weights.expand_as(tilted), tilted]).sum(-1, keepdim=True)
        return tilted * (before / after.clamp(min=torch.finfo(weights.dtype).tiny))

    def extra_repr(self) -> str:
        return f"{self.tilts.shape[0]} groups"


def group_of_each(paths: Iterable[str], groups: int) -> dict[str, int]:
    """Number of the group of every linear layer: decoder layers in order, parted as evenly as can be.

    Args:
        paths: Paths of the linear layers.
        groups: Number of groups G, at least 1.

    Raises:
        ConfigError: There are fewer decoder layers than groups.
    """
    paths = list(paths)
    numbers = sorted({layer_number(path)[0] for path in paths})
    if groups > len(numbers):
        raise ConfigError(f"layer_groups={groups} must be at most {len(numbers)}, the decoder layers that get experts")
    group = {number: place * groups // len(numbers) for place, number in enumerate(numbers)}
    return {path: group[layer_number(path)[0]] for path in paths}


def layer_number(path: str) -> tuple[int, str]:
    """Number of a decoder layer and path in it: ``layers.3.self_attn.q_proj`` -> 3, ``self_attn.q_proj``; 0 for none.

    Args:
        path: Path of a linear layer in a language model.
    """
    parts = path.split(".")
    at = next((place for place, part in enumerate(parts) if part.isdigit()), None)
    return (0, path) if at is None else (int(parts[at]), ".".join(parts[at + 1 :]))
