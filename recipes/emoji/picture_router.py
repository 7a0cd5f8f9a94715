"""A router that never reads the prompt: the control arm, and the smallest complete router plugin.

pa.plugins.register(picture_router)
pa.attach(host, pa.AdapterConfig(router="picture-only"))
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import nn
from torch.nn.functional import rms_norm

import parrot_adapters as pa

__all__ = ["PictureOnlyRouter", "register_routers"]


class PictureOnlyRouter(nn.Module):
    """Choose experts by what the picture shows: ``softmax(gate(rms_norm(summary)))``."""

    def __init__(self, width: int, num_experts: int) -> None:
        super().__init__()
        self.gate = nn.Linear(width, num_experts, bias=False)

    def forward(self, inputs: pa.RoutingInputs) -> pa.Routing:
        with torch.autocast(inputs.summary.device.type, enabled=False):
            summary = inputs.summary.float()  # (I, D)
            logits = rms_norm(summary, summary.shape[-1:]) @ self.gate.weight.float().T  # (I, E)
        return pa.Routing(logits.softmax(-1), logits)


class Register(Protocol):
    def __call__(self, name: str, factory: type[nn.Module], /) -> None: ...


@pa.hookimpl
def register_routers(register: Register) -> None:
    register("picture-only", PictureOnlyRouter)
