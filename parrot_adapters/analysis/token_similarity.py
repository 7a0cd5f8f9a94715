"""How visual tokens changed, and whether what they show is still in them.

N  visual tokens    D  width    K  pictures
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity, normalize

__all__ = ["Shift", "linear_cka", "retrieval"]


@dataclass(frozen=True)
class Shift:
    """How far tokens moved.

    Attributes:
        cosine: mean over tokens of the cosine with what they were; 1 for no turn at all.
        relative_norm: norm of the change divided by the norm of what they were, all tokens together; 0 for no change.
    """

    cosine: float
    relative_norm: float

    @staticmethod
    def between(before: Tensor, after: Tensor) -> Shift:
        """The shift from ``before`` to ``after``, both (N, D). No tokens have not moved."""
        before, after = before.detach().double().cpu(), after.detach().double().cpu()
        if torch.equal(before, after):
            return Shift(1.0, 0.0)
        change = float((after - before).norm() / before.norm().clamp(min=1e-12))
        return Shift(float(cosine_similarity(before, after, dim=-1).mean()), change)


def linear_cka(one: Tensor, other: Tensor) -> float:
    """Linear centred kernel alignment (Kornblith et al., arXiv 1905.00414, eq. 3): 1 where both hold the same up to
    rotation and scale, near 0 where they have nothing in common.

    ``|Y'X|^2 / (|X'X| |Y'Y|)`` with centred columns and Frobenius norms. With fewer rows than columns it is biased
    towards 1: give it several times more tokens than the width.

    Args:
        one: Tokens, (N, D).
        other: The same tokens seen otherwise, (N, D').
    """
    x, y = (t.detach().double().cpu() - t.detach().double().cpu().mean(0) for t in (one, other))
    scale = (x.T @ x).norm() * (y.T @ y).norm()
    return float((y.T @ x).square().sum() / scale) if scale > 0 else 0.0


def retrieval(queries: Tensor, gallery: Tensor) -> float:
    """Share of queries whose own picture is the nearest of the gallery by cosine; a tie is a miss.

    Args:
        queries: One view of each picture, (K, D).
        gallery: Another view of the same pictures, (K, D).
    """
    near = normalize(queries.double().cpu(), dim=-1) @ normalize(gallery.double().cpu(), dim=-1).T  # (K, K)
    own = near.diagonal()[:, None]
    others = near.masked_fill(torch.eye(len(near), dtype=torch.bool), -torch.inf)
    return float((others < own - 1e-9).all(1).double().mean())
