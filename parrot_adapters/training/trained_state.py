"""What training changes, as plain tensors by parameter name: the same whatever engine it runs on.

A checkpoint of one process can so be loaded by several and the other way round: sharded parameters (FSDP2's DTensors)
are gathered when they are read and cut up again when they are written.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from parrot_adapters.errors import CheckpointError, explain
from parrot_adapters.training.zero import full_weight, is_partitioned

__all__ = [
    "load_optimizer_state",
    "load_random_state",
    "load_trained_weights",
    "optimizer_state",
    "random_state",
    "trained_weights",
    "whole",
]


def whole(tensor: Tensor) -> Tensor:
    """A tensor gathered from all processes (which all must call this), on the CPU."""
    if is_partitioned(tensor):
        return full_weight(tensor)
    gathered = tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor
    return gathered.detach().cpu()


def trained_weights(model: nn.Module, *, keep: bool = True) -> dict[str, Tensor]:
    """What trains, and the buffers of modules in which something trains. A tensor under two names has the first.

    All processes call this; those that do not ``keep`` only take part in gathering, and get nothing.
    """
    names = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    found = {}
    for name, value in {**names, **_buffers(model)}.items():
        gathered = whole(value)
        if keep:
            found[name] = gathered
    return found


@torch.no_grad()
def load_trained_weights(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Load what :func:`trained_weights` gave, before the engine has wrapped or sharded the model.

    Raises:
        CheckpointError: names or shapes are not those of what trains here.
    """
    mine: dict[str, Tensor] = {n: p for n, p in model.named_parameters() if p.requires_grad}
    mine |= _buffers(model)
    different = sorted(mine.keys() ^ weights.keys())
    different += [name for name in mine.keys() & weights.keys() if mine[name].shape != weights[name].shape]
    if different:
        raise CheckpointError(
            explain(
                "the checkpoint does not hold what trains here.",
                differing=f"{', '.join(different[:3])}{' ...' if len(different) > 3 else ''}",
                to_do="--fresh starts over",
            )
        )
    for name, own in mine.items():
        own.copy_(weights[name])


def _buffers(model: nn.Module) -> dict[str, Tensor]:
    """Persistent buffers beside parameters that train: what a normalisation or a router keeps count of."""
    found = {}
    for path, module in model.named_modules():
        if any(parameter.requires_grad for parameter in module.parameters(recurse=False)):
            prefix = f"{path}." if path else ""
            for name, buffer in module.named_buffers(recurse=False):
                if name not in module._non_persistent_buffers_set:
                    found[f"{prefix}{name}"] = buffer
    return found


def optimizer_state(model: nn.Module, optimizer: Any, *, keep: bool = True) -> dict[str, dict[str, Any]]:
    """An optimizer's state by parameter name. All processes call this, as with :func:`trained_weights`."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    found = {}
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            if parameter in optimizer.state:
                state = {k: whole(v) if isinstance(v, Tensor) else v for k, v in optimizer.state[parameter].items()}
                if keep:
                    found[names[id(parameter)]] = state
    return found


def load_optimizer_state(model: nn.Module, optimizer: Any, state: Mapping[str, Mapping[str, Any]]) -> None:
    """Load what :func:`optimizer_state` gave, after the engine has sharded the model."""
    named = dict(model.named_parameters())
    for name, values in state.items():
        parameter = named[name]
        optimizer.state[parameter] = {
            key: _like(parameter, value) if isinstance(value, Tensor) else value for key, value in values.items()
        }


def _like(parameter: Tensor, value: Tensor) -> Tensor:
    """A value of the optimizer, laid out as its parameter is; counters stay where they are."""
    if value.dim() == 0 and parameter.dim() > 0:
        return value.clone()
    value = value.to(parameter.device)
    from torch.distributed.tensor import DTensor, distribute_tensor

    if not isinstance(parameter, DTensor):
        return value.clone()
    return distribute_tensor(value, parameter.device_mesh, parameter.placements, src_data_rank=None)


def random_state() -> dict[str, Any]:
    """This process's random state, as ``torch.load(weights_only=True)`` reads it back."""
    kind, keys, *rest = np.random.get_state()
    return {
        "python": random.getstate(),
        "numpy": (kind, torch.from_numpy(np.asarray(keys, dtype=np.int64)), *rest),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state() if torch.cuda.is_available() else None,
    }


def load_random_state(state: Mapping[str, Any]) -> None:
    """Take up what :func:`random_state` gave."""
    random.setstate(state["python"])
    kind, keys, *rest = state["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), *rest))
    torch.set_rng_state(state["torch"])
    if state["cuda"] is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])
