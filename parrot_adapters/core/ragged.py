"""Flat, ragged batches: N tokens of I items with offsets (letters: ``types.py``)."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["item_mean", "item_of_token", "lengths", "offsets_from_lengths", "spread"]


def lengths(offsets: Tensor) -> Tensor:
    """(I,) number of tokens of each item."""
    return offsets[1:] - offsets[:-1]


def offsets_from_lengths(sizes: Tensor) -> Tensor:
    """(I,) lengths -> (I + 1,) offsets, the first of them zero."""
    return torch.cat([sizes.new_zeros(1), sizes.cumsum(0)])


def item_of_token(offsets: Tensor, num_tokens: int) -> Tensor:
    """(N,) the item each token belongs to. ``num_tokens`` is known to the caller and spares a device sync."""
    items = torch.arange(offsets.numel() - 1, device=offsets.device)
    return items.repeat_interleave(lengths(offsets), output_size=num_tokens)


def spread(per_item: Tensor, offsets: Tensor, num_tokens: int) -> Tensor:
    """(I, ...) -> (N, ...): every token gets its item's value."""
    return per_item.repeat_interleave(lengths(offsets), dim=0, output_size=num_tokens)


def item_mean(tokens: Tensor, offsets: Tensor) -> Tensor:
    """(N, D) -> (I, D) float32 mean of each item's tokens; an item without tokens gets zeros."""
    owner = item_of_token(offsets, tokens.shape[0])
    total = tokens.new_zeros(offsets.numel() - 1, tokens.shape[1], dtype=torch.float32)
    total = total.index_add(0, owner, tokens.float())
    return total / lengths(offsets).clamp(min=1)[:, None]
