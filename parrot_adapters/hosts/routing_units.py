"""Which visual tokens are routed together, and which prompt they belong to.

N  visual tokens    I  units    R  rows    S  positions    D  width
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from parrot_adapters.errors import PlaceholderError, explain

__all__ = ["RoutingUnits", "find_units", "flat_tokens", "in_shape_of", "tokens_by_element"]


@dataclass(frozen=True, eq=False)
class RoutingUnits:
    """Routing units of a batch.

    Attributes:
        offsets: (I + 1,) int64 into the flat visual tokens.
        rows: (I,) int64, the prompt of each unit.
        items: (I,) int64, the element of the host's image features each unit begins in.
        sizes: visual tokens of each unit, as numbers.
    """

    offsets: Tensor
    rows: Tensor
    items: Tensor
    sizes: tuple[int, ...]

    @classmethod
    def here(cls, offsets: Tensor, rows: Tensor, items: Tensor) -> RoutingUnits:
        """Of tensors that are on the CPU."""
        return cls(offsets, rows, items, tuple(offsets.diff().tolist()))

    def to(self, device: torch.device) -> RoutingUnits:
        """The same on a device, without waiting for it."""
        offsets, rows, items = (t.to(device, non_blocking=True) for t in (self.offsets, self.rows, self.items))
        return RoutingUnits(offsets, rows, items, self.sizes)


def tokens_by_element(features: Any) -> list[Tensor]:
    """A host's image features -> list of (n_i, D), one of each element.

    Args:
        features: a tensor (items, n, D) or (n, D), or a list or tuple of tensors (..., D).
    """
    if isinstance(features, Tensor) and features.dim() == 2:
        return [features]
    return [element.reshape(-1, element.shape[-1]) for element in features]


def flat_tokens(features: Any) -> Tensor:
    """A host's image features -> (N, D), end to end; of a tensor it is a view."""
    if isinstance(features, Tensor):
        return features.reshape(-1, features.shape[-1])
    return torch.cat(tokens_by_element(features))


def in_shape_of(features: Any, tokens: Tensor) -> Any:
    """(N, D) -> the container and shapes that ``features`` have."""
    if isinstance(features, Tensor):
        return tokens.reshape(features.shape)
    parts = tokens.split([element.shape[:-1].numel() for element in features])
    shaped = [part.reshape(element.shape) for part, element in zip(parts, features, strict=True)]
    return tuple(shaped) if isinstance(features, tuple) else shaped


def find_units(sizes: list[int], placeholders: Tensor, unit: str) -> RoutingUnits:
    """Walk the placeholders row by row and cut them into units.

    Args:
        sizes: visual tokens of each element of the host's image features, in order.
        placeholders: (R, S) bool, on the CPU: nothing here waits for a device.
        unit: ``"item"`` cuts at every element, ``"run"`` also where placeholders are interrupted, ``"row"`` only
            between prompts. A unit never spans two prompts.

    Raises:
        PlaceholderError: there are more or fewer placeholders than visual tokens.
    """
    position = placeholders.nonzero()  # (N, 2), row-major
    row, column = position[:, 0], position[:, 1]
    total = sum(sizes)
    if row.numel() != total:
        raise PlaceholderError(
            explain(
                "the image placeholders in the prompt do not match the images.",
                placeholders=f"{row.numel()} in all; per row {placeholders.sum(1).tolist()}",
                visual_tokens=f"{total} in all; per image {sizes}",
                to_do="let the host's own processor write the prompt and the pixels together, and do not truncate",
            )
        )
    item = torch.arange(len(sizes), device="cpu").repeat_interleave(torch.tensor(sizes, dtype=torch.long, device="cpu"))
    cut = torch.ones(total, dtype=torch.bool, device="cpu")
    cut[1:] = row[1:] != row[:-1]
    if unit != "row":
        cut[1:] |= item[1:] != item[:-1]
    if unit == "run":
        cut[1:] |= column[1:] != column[:-1] + 1
    starts = cut.nonzero().squeeze(-1)  # (I,)
    return RoutingUnits.here(torch.cat([starts, starts.new_tensor([total])]), row[starts], item[starts])
