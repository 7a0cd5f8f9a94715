"""Flat, ragged batches: N tokens of I items with offsets (letters: ``types.py``)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["item_mean", "item_of_token", "lengths", "offsets_from_lengths", "on_device", "places_of_true", "spread"]


def lengths(offsets: Tensor) -> Tensor:
    """Count the tokens of each item, (I,) int64.

    Args:
        offsets: Places of the items, (I + 1,) int64.
    """
    return offsets[1:] - offsets[:-1]


def offsets_from_lengths(sizes: Tensor) -> Tensor:
    """Turn numbers of tokens into the places of their items, (I + 1,) int64, the first of them zero.

    Args:
        sizes: Number of tokens of each item, (I,) int64.
    """
    return torch.cat([sizes.new_zeros(1), sizes.cumsum(0)])


def item_of_token(offsets: Tensor, num_tokens: int) -> Tensor:
    """Number the item that each visual token belongs to, (N,) int64.

    Args:
        offsets: Places of the items, (I + 1,) int64.
        num_tokens: Number of tokens N, which the caller knows; reading it off the offsets would wait for the device.
    """
    items = torch.arange(offsets.numel() - 1, device=offsets.device)
    return items.repeat_interleave(lengths(offsets), output_size=num_tokens)


def spread(per_item: Tensor, offsets: Tensor, num_tokens: int) -> Tensor:
    """Give every visual token its item's value, (N, ...).

    Args:
        per_item: Value of each item, (I, ...).
        offsets: Places of the items, (I + 1,) int64.
        num_tokens: Number of tokens N.
    """
    return per_item.repeat_interleave(lengths(offsets), dim=0, output_size=num_tokens)


def item_mean(tokens: Tensor, offsets: Tensor) -> Tensor:
    """Average each item's tokens, (I, D) in float32; an item without tokens gets zeros.

    Args:
        tokens: Tokens of all items end to end, (N, D).
        offsets: Places of the items, (I + 1,) int64.
    """
    owner = item_of_token(offsets, tokens.shape[0])
    total = tokens.new_zeros(offsets.numel() - 1, tokens.shape[1], dtype=torch.float32)
    total = total.index_add(0, owner, tokens.float())
    return total / lengths(offsets).clamp(min=1)[:, None]


def on_device(values: Sequence[int], device: torch.device) -> Tensor:
    """Bring numbers that are known here to a device, (n,) int64, without waiting for what runs there.

    Args:
        values: Numbers.
        device: Where they shall be.
    """
    return torch.tensor(values, dtype=torch.int64).to(device, non_blocking=True)


def places_of_true(mask: Tensor, total: int) -> Tensor:
    """Find where a mask is True, in order, without waiting for the device, (total,) int64.

    Args:
        mask: Mask of any places, (n,) bool.
        total: Number of them that are True, which the caller knows.
    """
    if mask.device.type == "cpu":
        return mask.nonzero_static(size=total).squeeze(-1)
    # Sorted, since not every release has nonzero_static there, and nonzero would wait.
    return mask.to(torch.uint8).argsort(descending=True, stable=True)[:total]
