"""A module on an accelerator answers there. Where there is none, nothing can be said: a constant that forward makes on
the CPU fails on a GPU alone."""

from __future__ import annotations

from typing import Any

import torch

from parrot_adapters.testing.batches import map_tensors
from parrot_adapters.testing.checks import Skipped, agree
from parrot_adapters.testing.modules import seeded_call
from parrot_adapters.testing.subject import Subject

__all__ = ["accelerator", "device_kept"]


def accelerator() -> torch.device | None:
    """The accelerator of this machine (CUDA, MPS, XPU, ...), or None."""
    return torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None


def device_kept(subject: Subject[Any, Any]) -> None:
    """On an accelerator its answer is there too, and the same as on the CPU."""
    device = accelerator()
    if device is None:
        raise Skipped("there is no accelerator here")
    case = subject.typical()
    found = seeded_call(subject, subject.fresh().to(device), map_tensors(case, lambda tensor: tensor.to(device)))
    elsewhere = [f"{name} on {value.device}" for name, value in found.items() if value.device.type != device.type]
    assert not elsewhere, f"asked on {device} it answered with {', '.join(elsewhere)}"
    if device.type != "meta":  # which holds shapes and no numbers
        wanted = seeded_call(subject, subject.fresh(), case)
        here = {name: value.cpu() for name, value in found.items()}
        agree(here, wanted, found_is=f"on {device}", wanted_is="on the CPU", rtol=5e-3, atol=1e-3)
