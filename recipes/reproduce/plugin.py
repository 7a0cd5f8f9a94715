"""A router that starts out decided: the paper's, with its initial gate scaled up. For the search; nothing here is used
by the study's own arms.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

import parrot_adapters as pa
from parrot_adapters.core import TextGuidedRouter

__all__ = ["SharpRouter", "register_routers"]


class SharpRouter(TextGuidedRouter):
    """The paper's router with its initial gate scaled up, so that prompts start out with experts of their own.

    Args:
        width: D.
        num_experts: E.
        sharpness: factor of the initial gate.
        options: of :class:`parrot_adapters.core.TextGuidedRouter`.
    """

    def __init__(self, width: int, num_experts: int, *, sharpness: float = 1.0, **options: Any) -> None:
        super().__init__(width, num_experts, **options)
        with torch.no_grad():
            self.gate.mul_(sharpness)


@pa.hookimpl
def register_routers(register: Callable[[str, type[nn.Module]], None]) -> None:
    register("text-guided-sharp", SharpRouter)
