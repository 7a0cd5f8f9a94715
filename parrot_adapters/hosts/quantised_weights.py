"""What quantised weights are, whatever they are stored as: names and shapes of the layer, and about which values.

bitsandbytes keeps eight bits as integers with a scale for each row, four bits packed into bytes; torchao keeps a tensor
that stands for the full one. Neither library is imported: a layer that is quantised brings its own.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["full_state", "is_quantised"]

INT8_RANGE = 127.0  # of bitsandbytes' eight bits, per unit of a row's scale


def is_quantised(weight: Tensor) -> bool:
    """Whether a weight is stored in another way than as its numbers."""
    packed = not weight.is_floating_point() and type(weight).__name__ in ("Int8Params", "Params4bit")
    return packed or (
        hasattr(weight, "dequantize") and hasattr(type(weight), "__tensor_flatten__") and _own_class(weight)
    )


def full_state(module: nn.Module, state: Mapping[str, Any]) -> tuple[dict[str, Tensor], set[str]]:
    """A state dict as it would be unquantised.

    Args:
        module: The module it is of.
        state: Its ``state_dict()``.

    Returns:
        Tensors of the layer's own names and shapes, with approximate values where quantised, and the names of those.
    """
    kept, approximate = dict(state), set()
    for path, part in module.named_modules():
        weight = getattr(part, "weight", None)
        if not isinstance(weight, Tensor) or not is_quantised(weight):
            continue
        prefix = f"{path}." if path else ""
        for name in [name for name in kept if name.startswith(prefix) and name.removeprefix(prefix) != "bias"]:
            del kept[name]
        kept[f"{prefix}weight"] = _dequantised(part, weight)
        approximate.add(f"{prefix}weight")
    return kept, approximate


def _dequantised(part: Any, weight: Any) -> Tensor:
    kind = type(weight).__name__
    if kind == "Params4bit":
        functional = importlib.import_module("bitsandbytes.functional")
        full: Tensor = functional.dequantize_4bit(weight.data, weight.quant_state)
        return full.detach()
    if kind == "Int8Params":
        scale = weight.SCB if getattr(weight, "SCB", None) is not None else part.state.SCB  # after its first pass
        assert isinstance(scale, Tensor)
        return weight.data.float() * scale.float()[:, None] / INT8_RANGE
    full = weight.dequantize()
    return full.detach()


def _own_class(weight: Tensor) -> bool:
    return (
        not type(weight).__module__.startswith(("torch.nn", "torch.distributed")) and type(weight) is not torch.Tensor
    )
