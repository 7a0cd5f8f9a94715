"""Whether what runs now ran before: activation checkpointing runs parts of a model again in the backward pass."""

from __future__ import annotations

import torch

__all__ = ["runs_again"]


def runs_again() -> bool:
    """Whether this is inside a backward pass and a graph is made, which is what recomputing activations is."""
    return torch.is_grad_enabled() and torch._C._current_graph_task_id() != -1
