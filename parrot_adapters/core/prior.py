"""A fixed prior over experts, ``weights = softmax(logits + log prior)`` (letters: ``types.py``).

A prior is a constant of the config, not a weight: it is never trained. It is what lets an adapter grow without changing
its answers: an expert of prior ``q`` split into twins of priors ``q / 2`` keeps its share for every prompt
(:func:`parrot_adapters.grow`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from parrot_adapters.errors import ConfigError

__all__ = ["add_log_prior", "known_prior"]


def known_prior(prior: Sequence[float] | None, num_experts: int) -> tuple[float, ...] | None:
    """The prior as a tuple.

    Raises:
        ConfigError: not one positive finite number per expert.
    """
    if prior is None:
        return None
    numbers = [share for share in prior if isinstance(share, int | float) and math.isfinite(share) and share > 0]
    if not len(numbers) == len(prior) == num_experts:
        raise ConfigError(f"prior={prior!r} must be {num_experts} positive numbers, one per expert")
    return tuple(float(share) for share in numbers)


def add_log_prior(logits: Tensor, prior: tuple[float, ...] | None) -> Tensor:
    """(..., E) logits -> (..., E); without a prior the very same tensor."""
    if prior is None:
        return logits
    return logits + torch.tensor([math.log(share) for share in prior], device=logits.device, dtype=logits.dtype)
