"""How an image reads its prompt: cross-attention from one summary per item to the text of its row (``types.py``)."""

from __future__ import annotations

import torch
from einops import einsum
from torch import Tensor
from torch.nn.functional import rms_norm

from parrot_adapters.errors import ConfigError, explain, suggest

__all__ = ["NORMALIZERS", "attend", "clean_text", "known_normalizer"]

MOST_PAIRS = 2**24  # numbers of every item with every row: 64 MiB of float32

NORMALIZERS = {
    "rms": lambda x: rms_norm(x, x.shape[-1:]),  # measured: without it routing hardly depends on language
    "none": lambda x: x,  # the formula as written, for released checkpoints
}


def known_normalizer(name: str) -> str:
    """``name`` itself.

    Raises:
        ConfigError: no normaliser has this name.
    """
    if name not in NORMALIZERS:
        raise ConfigError(
            explain(f"normalize={name!r} is unknown.{suggest(str(name), NORMALIZERS)}", known=", ".join(NORMALIZERS))
        )
    return name


def clean_text(text: Tensor, mask: Tensor) -> Tensor:
    """(R, S, D) float32 with masked positions zero, so that no garbage there (NaN included) can spread."""
    return text.float().masked_fill(~mask[..., None], 0.0)


def attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, rows: Tensor) -> Tensor:
    """``softmax(q K^T / sqrt(D)) V`` of each item over its own row's text (arXiv 2406.02539, eq. 3).

    Args:
        query: (I, D).
        key: (R, S, D), zero where masked.
        value: (R, S, D), zero where masked.
        mask: (R, S) bool. A row without any True gives a zero context, hence uniform routing.
        rows: (I,) int64.

    Returns:
        (I, D) in the dtype of ``query``.
    """
    num_items, num_rows = query.shape[0], mask.shape[0]
    if num_items * num_rows * max(mask.shape[1], key.shape[-1]) <= MOST_PAIRS:
        # Every item reads every row, and keeps what its own row says: no size has to be read off the device, and what
        # is thrown away costs next to nothing beside the experts.
        by_row, column = query, torch.arange(num_items, device=rows.device)
        scores = einsum(by_row, key, "m d, r s d -> r m s")
    else:
        by_row, column = _scatter_to_rows(query, rows, num_rows)
        scores = einsum(by_row, key, "r m d, r s d -> r m s")
    scores = (scores * key.shape[-1] ** -0.5).masked_fill(~mask[:, None, :], torch.finfo(scores.dtype).min)
    attention = scores.softmax(-1).masked_fill(~mask[:, None, :], 0.0)  # a fully masked row attends to nothing
    context = einsum(attention, value, "r m s, r s d -> r m d")
    return context[rows, column]


def _scatter_to_rows(per_item: Tensor, rows: Tensor, num_rows: int) -> tuple[Tensor, Tensor]:
    """Lay items out by row. How many columns that takes is read off the device.

    Args:
        per_item: (I, D).
        rows: (I,) int64.
        num_rows: R.

    Returns:
        (R, M, D) with M the most items any row has, zero where a row has fewer; and (I,) each item's column in M.
    """
    order = rows.argsort(stable=True)
    counts = torch.zeros(num_rows, dtype=torch.int64, device=rows.device).index_add(0, rows, torch.ones_like(rows))
    starts = counts.cumsum(0) - counts
    column = torch.empty_like(rows)
    column[order] = torch.arange(rows.numel(), device=rows.device) - starts[rows[order]]
    laid_out = per_item.new_zeros(num_rows, int(counts.max()), per_item.shape[-1])
    return laid_out.index_put((rows, column), per_item), column
