"""What the forward of a host's base model is given in the end, whatever stands before it."""

from __future__ import annotations

import functools
from typing import Any
from unittest import mock

import torch

__all__ = ["aligned_outputs"]


def aligned_outputs(model: Any, inputs: dict[str, Any], *, graph: bool = False) -> dict[str, Any]:
    """The encoded images that a call of a host hands to the forward of its base model's class, as plain outputs.

    Args:
        model: An attached host.
        inputs: Of its call, with images.
        graph: Whether gradients flow.
    """
    kind, kept = type(model.base_model), dict[str, Any]()
    own = kind.forward

    @functools.wraps(own)  # its signature is read
    def keep(self: Any, *args: Any, **kwargs: Any) -> Any:
        kept.update(kwargs["mm_encoder_outputs"])
        return own(self, *args, **kwargs)

    with mock.patch.object(kind, "forward", keep), torch.set_grad_enabled(graph):
        model(**inputs)
    return {modality: type(output).__mro__[2](**dict(output.items())) for modality, output in kept.items()}
