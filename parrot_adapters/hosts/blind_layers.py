"""Quantised layers through which no gradient goes: what would train before them would learn nothing, and say nothing.

torchao's layers that quantise what they are given as well (dynamic activations) are of this kind: their answer has no
graph, and the loss one that does not reach the pictures.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from parrot_adapters.errors import HostError, explain
from parrot_adapters.hosts.host_parts import HostParts
from parrot_adapters.hosts.quantised_weights import is_quantised

__all__ = ["BlindLayers"]


class BlindLayers:
    """Refuses training on a host whose language model has such layers; what a frozen vision tower has does not matter.

    Args:
        parts: The host.
    """

    def __init__(self, parts: HostParts) -> None:
        self.parts = parts
        self._looked = False

    def look(self, module: nn.Module) -> None:
        """Try one layer of each kind of weight, once.

        Args:
            module: The base model, which is called with gradients.

        Raises:
            HostError: There are such layers, and the host is in training mode.
        """
        if self._looked or not self.parts.outer.training or torch.compiler.is_compiling():
            return
        kinds: set[tuple[type, type]] = set()
        behind = self.parts.module(self.parts.language_model) or self.parts.outer
        for path, layer in (*behind.named_modules(), ("lm_head", self.parts.outer.get_output_embeddings())):
            weight, size = getattr(layer, "weight", None), getattr(layer, "in_features", None)
            if (
                not isinstance(weight, Tensor)
                or not isinstance(size, int)
                or weight.is_meta
                or not is_quantised(weight)
            ):
                continue
            kind = type(layer), type(weight)
            if kind not in kinds and not _has_gradient(layer, size, weight):
                raise HostError(
                    explain(
                        "no gradient goes through quantised layers of this host: nothing before them can train.",
                        given=f"{path}, a {kind[0].__name__} with weights of class {kind[1].__name__}",
                        to_do="quantise the weights alone (torchao's weight-only configurations, bitsandbytes); or "
                        "train on the host in full precision, and load the adapter on the quantised one",
                    )
                )
            kinds.add(kind)
        self._looked = True


def _has_gradient(layer: Any, size: int, weight: Tensor) -> bool:
    given = torch.ones(2, size, device=weight.device, dtype=_dtype(layer, weight), requires_grad=True)
    with torch.enable_grad():
        return bool(layer(given).requires_grad)


def _dtype(layer: Any, weight: Tensor) -> torch.dtype:
    """Of what the layer is given."""
    compute = getattr(layer, "compute_dtype", None)
    if isinstance(compute, torch.dtype):
        return compute
    return weight.dtype if weight.is_floating_point() else torch.float32
