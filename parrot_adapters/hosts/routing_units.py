"""Which visual tokens are routed together, and which prompt they belong to.

N  visual tokens    I  units    R  rows    S  positions    D  width
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from parrot_adapters.errors import PlaceholderError, explain

__all__ = ["RoutingUnits", "find_units", "flatten_features"]


@dataclass(frozen=True, eq=False)
class RoutingUnits:
    """Routing units of a batch.

    Attributes:
        offsets: (I + 1,) int64 into the flat visual tokens.
        rows: (I,) int64, the prompt of each unit.
        items: (I,) int64, the element of the host's image features each unit begins in.
    """

    offsets: Tensor
    rows: Tensor
    items: Tensor


def flatten_features(features: Any) -> tuple[list[Tensor], Callable[[list[Tensor]], Any]]:
    """A host's image features -> list of (n_i, D), and the way back to the host's own container and shapes.

    Args:
        features: a tensor (items, n, D) or (n, D), or a list or tuple of tensors (..., D).
    """
    if isinstance(features, Tensor):
        if features.dim() == 2:
            return [features], lambda new: new[0]
        shape = features.shape
        return list(features.reshape(shape[0], -1, shape[-1])), lambda new: torch.stack(new).reshape(shape)
    shapes = [f.shape for f in features]
    container = tuple if isinstance(features, tuple) else list
    return (
        [f.reshape(-1, f.shape[-1]) for f in features],
        lambda new: container(f.reshape(shape) for f, shape in zip(new, shapes, strict=True)),
    )


def find_units(sizes: list[int], placeholders: Tensor, unit: str) -> RoutingUnits:
    """Walk the placeholders row by row and cut them into units.

    Args:
        sizes: visual tokens of each element of the host's image features, in order.
        placeholders: (R, S) bool.
        unit: ``"item"`` cuts at every element, ``"run"`` also where placeholders are interrupted, ``"row"`` only
            between prompts. A unit never spans two prompts.

    Raises:
        PlaceholderError: there are more or fewer placeholders than visual tokens.
    """
    position = placeholders.nonzero()  # (N, 2), row-major
    row, column = position[:, 0], position[:, 1]
    device, total = placeholders.device, sum(sizes)
    if row.numel() != total:
        raise PlaceholderError(
            explain(
                "the image placeholders in the prompt do not match the images.",
                placeholders=f"{row.numel()} in all; per row {placeholders.sum(1).tolist()}",
                visual_tokens=f"{total} in all; per image {sizes}",
                to_do="let the host's own processor write the prompt and the pixels together, and do not truncate",
            )
        )
    item = torch.arange(len(sizes), device=device).repeat_interleave(
        torch.tensor(sizes, device=device, dtype=torch.long), output_size=total
    )
    cut = torch.ones(total, dtype=torch.bool, device=device)
    cut[1:] = row[1:] != row[:-1]
    if unit != "row":
        cut[1:] |= item[1:] != item[:-1]
    if unit == "run":
        cut[1:] |= column[1:] != column[:-1] + 1
    starts = cut.nonzero().squeeze(-1)  # (I,)
    return RoutingUnits(torch.cat([starts, starts.new_tensor([total])]), row[starts], item[starts])
