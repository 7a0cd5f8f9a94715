"""Outputs of a host's vision side that were aligned already, and the routing that goes with them.

transformers expands such outputs for beams, cuts them for chunked prefill and hands them on, always as rows of visual
tokens; what else stands in them is lost on the way. So within ``generate`` the weights of each token travel as further
columns of its features, bit by bit whatever the dtype, and are taken off where the base model is entered.

N  visual tokens of one output    D  their width    C  weights of each
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

__all__ = ["AlreadyAligned", "aligned_copy", "with_columns", "without_columns"]


class AlreadyAligned:
    """Mixed into the class of aligned outputs; survives transformers rebuilding them as ``type(output)(**fields)``.

    Attributes:
        token_weights: (N, C) of each visual token, for experts inside the layers; None where there are none, or where
            they are columns of the features. An attribute of the instance, which a rebuilt output no longer has.
    """

    token_weights: Tensor | None = None


@functools.cache
def _aligned_class(output_class: Any) -> type:
    return type(f"Aligned{output_class.__name__}", (AlreadyAligned, output_class), {"__module__": __name__})


def aligned_copy(output: Any, attribute: str, features: Any, token_weights: Tensor | None) -> Any:
    """A copy of an output with other features, marked as aligned.

    What torch compiles is not marked: within ``generate``, where an output comes back, nothing of this is compiled.

    Args:
        output: A ``ModelOutput``; it is left as it is.
        attribute: The field that holds its features.
        features: What it shall hold.
        token_weights: (N, C) or None.
    """
    new = copy.copy(output)
    if not isinstance(output, AlreadyAligned) and not torch.compiler.is_compiling():
        new.__class__ = _aligned_class(output.__class__)
    setattr(new, attribute, features)
    new.token_weights = token_weights
    return new


def with_columns(output: Any, attribute: str) -> Any:
    """A copy whose weights are columns of its features; without weights the output itself."""
    weights = output.token_weights
    if weights is None:
        return output
    given = getattr(output, attribute)
    rest = iter(weights.detach().split([feature.shape[:-1].numel() for feature in _elements(given)]))

    def widen(feature: Tensor) -> Tensor:
        columns = _bits_of(next(rest).to(feature.device), feature.dtype)
        return torch.cat([feature, columns.reshape(*feature.shape[:-1], columns.shape[-1])], -1)

    return aligned_copy(output, attribute, _each(widen, given), None)


def without_columns(output: Any, attribute: str, width: int) -> Any:
    """The reverse of :func:`with_columns`: a copy with its weights; the output itself where it has no further columns.

    Args:
        output: Aligned.
        attribute: The field that holds its features.
        width: D.
    """
    given = getattr(output, attribute)
    elements = _elements(given)
    if not elements or elements[0].shape[-1] == width:
        return output
    weights = torch.cat([_weights_in(feature[..., width:].flatten(0, -2)) for feature in elements])
    return aligned_copy(output, attribute, _each(lambda feature: feature[..., :width], given), weights)


def _elements(features: Any) -> list[Tensor]:
    return [features] if isinstance(features, Tensor) else list(features)


def _each(change: Callable[[Tensor], Tensor], features: Any) -> Any:
    """The same container with every tensor changed."""
    if isinstance(features, Tensor):
        return change(features)
    return type(features)(change(feature) for feature in features)


def _bits_of(weights: Tensor, dtype: torch.dtype) -> Tensor:
    """(N, C) -> (N, ...) of a dtype, with nothing lost."""
    return weights.to(dtype) if dtype == torch.float64 else weights.float().contiguous().view(dtype)


def _weights_in(columns: Tensor) -> Tensor:
    """The reverse of :func:`_bits_of`."""
    if columns.dtype == torch.float64:
        return columns.float()
    return columns.clone(memory_format=torch.contiguous_format).view(torch.float32)  # at the start of a storage
