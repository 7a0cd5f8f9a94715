"""Quantised weights that their library has packed anew for answering, through which nothing can be learned.

bitsandbytes does so with four bits on CPUs that have AVX-512 for bfloat16, at the first call of a layer without
gradients, and never undoes it: training after one answer would get no gradient, and say nothing.
"""

from __future__ import annotations

from torch import nn

__all__ = ["PackedForInference"]


class PackedForInference:
    """Has a host's layers unpacked before calls with gradients.

    Args:
        host: The host.
    """

    def __init__(self, host: nn.Module) -> None:
        self.layers = tuple(module for module in host.modules() if hasattr(_weight(module), "quant_state"))

    def look(self, module: nn.Module) -> None:
        """Unpack what is packed; next to nothing where nothing is.

        Args:
            module: The base model, which is called with gradients.
        """
        for layer in self.layers:
            if getattr(getattr(_weight(layer), "quant_state", None), "packing_format_for_cpu", False):
                layer.state_dict()  # its library unpacks a layer to save it, and leaves it so


def _weight(module: nn.Module) -> object:
    return dict(module.named_parameters(recurse=False)).get("weight")
