"""Visual summaries: one vector per item, the query with which an image reads its prompt (letters: ``types.py``).

A summary is a module ``forward(tokens (N, D), offsets (I + 1,), cls (I, D) | None) -> (I, D)``; ``cls`` is the item's
projected CLS token where the host can give one.
"""

from __future__ import annotations

from torch import Tensor, nn

from parrot_adapters.core.ragged import item_mean
from parrot_adapters.errors import HostError, explain

__all__ = ["ClsSummary", "FirstTokenSummary", "MeanSummary"]


class MeanSummary(nn.Module):
    """The mean of the item's visual tokens. Works with every host.

    Args:
        width: Hidden size D of the language model, which visual tokens have too.
    """

    def __init__(self, width: int) -> None:
        super().__init__()

    def forward(self, tokens: Tensor, offsets: Tensor, cls: Tensor | None = None) -> Tensor:
        return item_mean(tokens, offsets)


class ClsSummary(nn.Module):
    """The projected CLS token, as in the paper (arXiv 2406.02539, section 3.2).

    Args:
        width: Hidden size D of the language model, which visual tokens have too.

    Raises:
        HostError: The host gives no CLS token (SigLIP towers have none; others need a host plugin to find it).
    """

    def __init__(self, width: int) -> None:
        super().__init__()

    def forward(self, tokens: Tensor, offsets: Tensor, cls: Tensor | None = None) -> Tensor:
        if cls is None:
            raise HostError(
                explain(
                    "summary 'cls' needs the vision tower's CLS token, and this host gives none.",
                    to_do="use summary='mean', or install the plugin that knows the host's CLS token "
                    "(LLaVA family: pip install parrot-host-llava)",
                )
            )
        return cls


class FirstTokenSummary(nn.Module):
    """The first visual token of each item.

    Where a host keeps the CLS token in front of the patches (LLaVA's ``vision_feature_select_strategy="full"``, which
    released PARROT checkpoints use) this *is* the projected CLS token, without asking the host for anything. An item
    without tokens gets zeros.

    Args:
        width: Hidden size D of the language model, which visual tokens have too.
    """

    def __init__(self, width: int) -> None:
        super().__init__()

    def forward(self, tokens: Tensor, offsets: Tensor, cls: Tensor | None = None) -> Tensor:
        if tokens.shape[0] == 0:
            return tokens.new_zeros(offsets.numel() - 1, tokens.shape[1])
        start, stop = offsets[:-1], offsets[1:]
        first = tokens[start.clamp(max=tokens.shape[0] - 1)]
        return first.masked_fill((start == stop)[:, None], 0)
