"""How an image reads its prompt: cross-attention from one summary per item to the text of its row (``types.py``)."""

from __future__ import annotations

import torch
from einops import einsum
from torch import Tensor
from torch.nn.functional import rms_norm

from parrot_adapters.errors import ConfigError, explain, suggest

__all__ = ["NORMALIZERS", "attend", "clean_text", "known_normalizer", "scatter_to_rows"]

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


def scatter_to_rows(per_item: Tensor, rows: Tensor, num_rows: int) -> tuple[Tensor, Tensor]:
    """Lay items out by row, so that text is never copied per item.

    Args:
        per_item: (I, D).
        rows: (I,) int64.
        num_rows: R.

    Returns:
        (R, M, D) with M the most items any row has, zero where a row has fewer; and (I,) each item's column in M.
    """
    order = rows.argsort(stable=True)
    counts = torch.bincount(rows, minlength=num_rows)
    starts = counts.cumsum(0) - counts
    column = torch.empty_like(rows)
    column[order] = torch.arange(rows.numel(), device=rows.device) - starts[rows[order]]
    most = int(counts.max()) if rows.numel() else 0
    laid_out = per_item.new_zeros(num_rows, most, per_item.shape[-1])
    return laid_out.index_put((rows, column), per_item), column


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
    by_row, column = scatter_to_rows(query, rows, mask.shape[0])
    scores = einsum(by_row, key, "r m d, r s d -> r m s") * key.shape[-1] ** -0.5
    scores = scores.masked_fill(~mask[:, None, :], torch.finfo(scores.dtype).min)
    attention = scores.softmax(-1).masked_fill(~mask[:, None, :], 0.0)  # a fully masked row attends to nothing
    context = einsum(attention, value, "r m s, r s d -> r m d")
    return context[rows, column]
