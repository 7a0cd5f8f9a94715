"""Weights that accelerate has moved off the model: on the meta device until their module runs, kept in its hook."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["loaded_state", "loaded_weight", "running_device"]


def loaded_state(module: nn.Module, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state dict with the tensors that are offloaded read from where they are; those nobody keeps stay meta."""
    return {name: loaded_weight(module, name, value) for name, value in state.items()}


def loaded_weight(module: nn.Module, name: str, value: Tensor) -> Tensor:
    """A tensor of a module, read from where it is offloaded to, if it is.

    Args:
        module: The module.
        name: The tensor's name in it.
        value: What the module has under that name.
    """
    if not value.is_meta:
        return value
    path, _, last = name.rpartition(".")
    kept = next((hook.weights_map for hook in _hooks(module.get_submodule(path)) if _keeps_weights(hook)), None)
    if kept is None:
        return value
    found: Tensor = kept[last]
    return found


def running_device(module: nn.Module, weight: Tensor) -> torch.device:
    """Where a module runs: where its weight is or, if that is offloaded, where it is brought to."""
    if not weight.is_meta:
        return weight.device
    named = next((h.execution_device for h in _hooks(module) if getattr(h, "execution_device", None) is not None), None)
    return weight.device if named is None else torch.device(named)


def _keeps_weights(hook: Any) -> bool:
    return getattr(hook, "weights_map", None) is not None


def _hooks(module: nn.Module) -> list[Any]:
    hook = getattr(module, "_hf_hook", None)
    return list(getattr(hook, "hooks", (hook,))) if hook is not None else []
