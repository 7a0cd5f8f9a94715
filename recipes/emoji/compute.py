"""Where a run computes, and how precisely. Says nothing of what is computed: that is a preset's."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from .errors import RecipeError

if TYPE_CHECKING:
    from torch import nn

__all__ = ["Compute", "one_thread", "quiet"]


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

    @contextmanager
    def frozen_linears(self, module: nn.Module) -> Iterator[None]:
        """Keep the frozen linear weights of ``module`` in this precision inside the block.

        Under :meth:`autocast` they are rounded at every use; rounded once, they give the same bits and save a third
        of a decoding step. Weights that are trained stay as they are. So does whatever shares its weights with another
        module (an output head with an embedding table), which others read in full.
        """
        import torch
        from torch import nn

        if self.dtype == "float32":
            yield
            return
        users: dict[int, int] = {}
        for part in module.modules():
            for parameter in part.parameters(recurse=False):
                users[id(parameter)] = users.get(id(parameter), 0) + 1
        linears = [part for part in module.modules() if isinstance(part, nn.Linear)]
        frozen = [part.weight for part in linears if not part.weight.requires_grad and users[id(part.weight)] == 1]
        whole = [weight.data for weight in frozen]
        for weight in frozen:
            weight.data = weight.data.to(torch.bfloat16)
        try:
            yield
        finally:
            for weight, kept in zip(frozen, whole, strict=True):
                weight.data = kept


@contextmanager
def one_thread() -> Iterator[None]:
    """Torch on one thread, as in the workers: the number of threads changes the order of sums."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def quiet() -> None:
    """Progress bars of other libraries would tear ours."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
