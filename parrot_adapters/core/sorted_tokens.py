"""Which tokens each expert sees, in one sort (letters: ``types.py``; M pairs of a token and an expert it was given)."""

from __future__ import annotations

from itertools import accumulate, pairwise
from typing import NamedTuple

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor

from parrot_adapters.core.ragged import places_of_true
from parrot_adapters.core.swiglu_passes import Span

__all__ = ["SortedTokens"]


class SortedTokens(NamedTuple):
    """Pairs of a token and an expert, in the order of the experts."""

    rows: Tensor  # (M,) the token of each pair
    experts: Tensor  # (M,) its expert
    spans: tuple[Span, ...]  # where the pairs of each expert stand; experts without tokens have none
    mask: Tensor  # (N, E) bool, the same as a table

    @classmethod
    def by_expert(cls, active: Tensor, num_experts: int) -> SortedTokens:
        """Sort. Waits for the device once, to read how many tokens each expert has.

        Args:
            active: Numbers of each token's experts, (N, k) int64; a number that occurs twice counts once, and one
                that is no expert's is none.
            num_experts: E.
        """
        mask = (active[..., None] == torch.arange(num_experts, device=active.device)).any(1)  # (N, E)
        without_data = isinstance(active, FakeTensor)
        counts = _evenly(active.numel(), num_experts) if without_data else mask.sum(0).tolist()
        total, flat = sum(counts), mask.T.flatten()
        places = flat.new_zeros(total, dtype=torch.int64) if without_data else places_of_true(flat, total)
        num_tokens = mask.shape[0]
        edges = pairwise(accumulate(counts, initial=0))
        spans = tuple(
            Span(slice(start, stop), slice(expert, expert + 1))
            for expert, (start, stop) in enumerate(edges)
            if stop > start
        )
        return cls(places % num_tokens, places // num_tokens, spans, mask)


def _evenly(total: int, parts: int) -> list[int]:
    """What a plan takes for the numbers of tokens that nobody knows: as alike as can be."""
    return [total // parts + (part < total % parts) for part in range(parts)]
