"""Make the layer that stored weights belong to, after its shapes were compared with theirs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from parrot_adapters.adapter.read_adapter_files import require_same_tensors
from parrot_adapters.errors import CheckpointError, PluginError, explain

if TYPE_CHECKING:
    from parrot_adapters.adapter.config import AdapterConfig
    from parrot_adapters.core import AlignmentLayer

__all__ = ["fitting_layer"]

SMALL = 4096  # experts of any kind that are made in no time


def fitting_layer(
    build: Callable[..., AlignmentLayer], config: AdapterConfig, weights: Mapping[str, Tensor], path: Path
) -> AlignmentLayer:
    """The layer of a configuration, with stored weights, in the dtypes they were saved in.

    It is made once without memory, so that a config that asks for more than its file holds costs none. Then its router
    and summary are made in earnest, and experts come without weights: the stored ones become theirs, uncopied.

    Args:
        build: Makes the layer, with ``empty_experts`` of :func:`build_layer`.
        config: What it is made from.
        weights: Its state dict. The layer's experts take these very tensors.
        path: Where they were read from, for messages.

    Raises:
        CheckpointError: They are those of another layer.
    """
    _require_plausible(config, weights, path)
    try:
        with torch.device("meta"):
            sketch = build()
    except PluginError:  # of a plugin that computes while it is made, which has to be made in earnest
        pass
    else:
        require_same_tensors(sketch.state_dict(), weights, path)
    layer = build(empty_experts=True)
    own = layer.state_dict(keep_vars=True)
    require_same_tensors(own, weights, path)
    empty = {name: weights[name] for name, mine in own.items() if mine.is_meta}
    rest = {name: weights[name] for name in own.keys() - empty.keys()}
    for name, value in rest.items():  # in place, so that shared weights stay shared
        own[name].data = own[name].data.to(value.dtype)
    layer.load_state_dict(rest, strict=False)
    layer.load_state_dict(empty, strict=False, assign=True)
    return layer


def _require_plausible(config: AdapterConfig, weights: Mapping[str, Tensor], path: Path) -> None:
    """Every expert, and every unit of one, has a weight of its own; even a sketch of a thousand million takes hours."""
    held = max(SMALL, sum(value.numel() for value in weights.values()))
    sizes = ("num_experts",) if config.placement == "layers" else ("num_experts", "expert_hidden_size")
    beyond = [name for name in sizes if (getattr(config, name) or 0) > held]
    if beyond:
        asked = ", ".join(f"{name}={getattr(config, name)!r}" for name in beyond)
        raise CheckpointError(
            explain(
                f"{path} does not fit the adapter its config describes.",
                asked=asked,
                found=f"{held:,} numbers in the file at most",
            )
        )
