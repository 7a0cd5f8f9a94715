"""The files of a run's checkpoint.

    weights.safetensors    what trains, by parameter name
    optimizer.pt           the optimizer's state, likewise
    state.pt               schedule, guard, data position; random state and sums of each process
    trainer_state.json     transformers' own: the step

Read with ``weights_only``: a checkpoint cannot run code.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from parrot_adapters.adapter.adapter_files import read_tensors, save_tensors

__all__ = ["TRAINER_STATE", "stored_optimizer", "stored_state", "stored_weights", "write_checkpoint"]

WEIGHTS, OPTIMIZER, STATE, TRAINER_STATE = "weights.safetensors", "optimizer.pt", "state.pt", "trainer_state.json"


def write_checkpoint(
    directory: Path, weights: Mapping[str, Tensor], optimizer: Mapping[str, Any], state: Mapping[str, Any]
) -> None:
    """Write all but transformers' own file.

    Raises:
        RuntimeError: weights are not finite, or torch could not write.
        OSError, SafetensorError: likewise.
    """
    if broken := [name for name, value in weights.items() if not value.isfinite().all()]:
        raise RuntimeError(f"weights are not finite: {broken[0]}")
    save_tensors(weights, directory / WEIGHTS)
    torch.save(dict(optimizer), directory / OPTIMIZER)
    torch.save(dict(state), directory / STATE)


def stored_weights(checkpoint: str | Path) -> dict[str, Tensor]:
    """What trained."""
    return read_tensors(Path(checkpoint) / WEIGHTS)


def stored_optimizer(checkpoint: str | Path) -> dict[str, Any]:
    """The optimizer's state by parameter name."""
    found: dict[str, Any] = torch.load(Path(checkpoint) / OPTIMIZER, weights_only=True)
    return found


def stored_state(checkpoint: str | Path) -> dict[str, Any]:
    """Everything else."""
    found: dict[str, Any] = torch.load(Path(checkpoint) / STATE, weights_only=True)
    return found
