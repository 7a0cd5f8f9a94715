"""Routing is computed in float32: a softmax over experts in half precision is a known defect elsewhere."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

__all__ = ["float32_inside"]


def float32_inside(like: Tensor) -> AbstractContextManager[object]:
    """A context in which autocast leaves float32 computations on the device of ``like`` alone."""
    device = like.device.type
    if device == "meta" or not torch.is_autocast_enabled(device):
        return nullcontext()
    return torch.autocast(device_type=device, enabled=False)
