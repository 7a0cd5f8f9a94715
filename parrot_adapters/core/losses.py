"""Auxiliary losses on routing (letters: ``types.py``). Each takes what a router returned and gives a float32 scalar."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, one_hot

__all__ = ["language_supervision_loss", "load_balancing_loss", "router_z_loss"]


def load_balancing_loss(weights: Tensor, active: Tensor | None = None) -> Tensor:
    """``E * sum_e f_e P_e``: one when experts share the load evenly, up to E when one takes all.

    ``P_e`` is the mean weight of expert e, ``f_e`` the share of choices that fell on it (Switch Transformer, arXiv
    2101.03961, eq. 4-6). Only ``P`` carries a gradient.

    Args:
        weights: Routing weights, (I, E) or (N, E).
        active: Numbers of the chosen experts, (I, k) or (N, k) int64; None (default) takes the largest weight of each
            row.

    Returns:
        float32 scalar; zero for an empty batch.
    """
    if weights.shape[0] == 0:
        return weights.float().sum()
    chosen = weights.argmax(-1, keepdim=True) if active is None else active
    share = one_hot(chosen, weights.shape[-1]).float().mean((0, 1))
    return weights.shape[-1] * (share * weights.float().mean(0)).sum()


def router_z_loss(logits: Tensor) -> Tensor:
    """``mean(logsumexp(logits)^2)``: keeps logits small (ST-MoE, arXiv 2202.08906, eq. 5).

    Args:
        logits: Router logits, (I, E) or (N, E).

    Returns:
        float32 scalar; zero for an empty batch.
    """
    if logits.shape[0] == 0:
        return logits.float().sum()
    return torch.logsumexp(logits.float(), -1).square().mean()


def language_supervision_loss(logits: Tensor, experts: Tensor) -> Tensor:
    """Cross-entropy between the routing and the expert that belongs to each item's language.

    Args:
        logits: Router logits, (I, E).
        experts: Number of the expert of each item's language, (I,) int64; -1 where the language is unknown, which is
            ignored.

    Returns:
        float32 scalar; zero when every language is unknown.
    """
    if not bool((experts >= 0).any()):
        return logits.float().sum() * 0.0
    return cross_entropy(logits.float(), experts, ignore_index=-1)
