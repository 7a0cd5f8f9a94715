"""What a row of a batch is alone, with an adapter or without: what rows with an adapter each are compared with."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

import parrot_adapters as pa

__all__ = ["alone", "last"]


@torch.no_grad()
def last(handle: pa.Attachment, inputs: dict[str, Any]) -> Tensor:
    """(R, V) logits after the last token; rows are padded on the left."""
    logits: Tensor = handle.model(**inputs).logits
    return logits[:, -1]


@torch.no_grad()
def alone(handle: pa.Attachment, inputs: dict[str, Any], name: str | None) -> Tensor:
    if name is None:
        with handle.disabled():
            return last(handle, inputs)
    with handle.switched_to(name):
        return last(handle, inputs)
