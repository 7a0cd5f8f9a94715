"""Where a run computes, and how precisely. Says nothing of what is computed: that is a preset's."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from .errors import RecipeError

if TYPE_CHECKING:
    from torch import nn

__all__ = ["Compute"]


@dataclass(frozen=True)
class Compute:
    """A device and a precision.

    Attributes:
        device: ``"cpu"`` or ``"cuda"``.
        dtype: of matrix products in training; weights, losses and answers' likelihoods stay in float32.
    """

    device: Literal["cpu", "cuda"] = "cpu"
    dtype: Literal["float32", "bfloat16"] = "float32"

    def place(self, module: nn.Module) -> None:
        """Move a host there.

        Raises:
            RecipeError: the device is not there.
        """
        import torch

        if self.device == "cuda" and not torch.cuda.is_available():
            raise RecipeError("no CUDA device is available.\n  to do  --device cpu, or a preset made for it")
        module.to(self.device)

    def autocast(self) -> AbstractContextManager[object]:
        """Matrix products in this precision inside the block."""
        import torch

        return torch.autocast(self.device, torch.bfloat16, enabled=self.dtype == "bfloat16")
