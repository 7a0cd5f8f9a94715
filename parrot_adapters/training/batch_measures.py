"""What a micro-batch's forward pass says about it.

R  rows    S  positions    V  vocabulary
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from parrot_adapters.core.types import IGNORED
from parrot_adapters.training.metrics import Measured

__all__ = ["measure", "targets_of"]

"""Label of a token that is not learned."""
CHUNK = 256  # tokens whose logits are read at a time


def targets_of(labels: Tensor, config: Any) -> Tensor:
    """What is predicted at each position: labels move by one, but not in an encoder-decoder. (R, S) -> (R, S - 1)"""
    return labels if getattr(config, "is_encoder_decoder", False) else labels[:, 1:]


@torch.no_grad()
def measure(
    measured: Measured,
    given: Mapping[str, Any],
    outputs: Any,
    terms: Mapping[str, Tensor],
    targets: Tensor,
    languages: Sequence[str | None] | None,
    segments: Tensor | None = None,
) -> None:
    """Count a micro-batch.

    Args:
        measured: sums to add to.
        given: the host's arguments.
        outputs: what it made of them.
        terms: of its loss, means over learned tokens.
        targets: (R, S - 1) from :func:`targets_of`.
        languages: of the samples.
        segments: (R, S), the sample of each position of packed rows; None where a row is a sample.
    """
    learned = int((targets != IGNORED).sum())
    values = torch.stack([term.to(targets.device, torch.float32) for term in terms.values()]).tolist()
    measured.add_losses(dict(zip(terms, values, strict=True)), learned, *_positions(given, segments))
    logits = outputs.get("logits") if isinstance(outputs, Mapping) else None
    if logits is None or languages is None or not any(languages):
        return
    if segments is None:
        whose = torch.arange(len(languages), device=targets.device)[:, None].expand_as(targets)
    else:  # whose the predicted token is
        whose = segments.to(targets.device)[:, -targets.shape[1] :]
    for number, language in enumerate(languages):
        measured.add_language(language, *_sum_of_losses(logits, targets, (targets != IGNORED) & (whose == number)))


def _positions(given: Mapping[str, Any], segments: Tensor | None) -> tuple[int, int, int]:
    """Tokens that are no padding, all positions, and positions if each sample had a row of its own."""
    positions = given["labels"].numel()
    if segments is not None:
        lengths = segments[segments >= 0].bincount()
        return int(lengths.sum()), positions, len(lengths) * int(lengths.max())
    mask = given.get("attention_mask")
    return int(mask.sum()) if mask is not None and mask.dim() == 2 else positions, positions, positions


def _sum_of_losses(logits: Tensor, targets: Tensor, learned: Tensor) -> tuple[float, int]:
    """Cross-entropy summed over a sample's learned tokens, and how many they are.

    Args:
        logits: (R, S, V); the last position predicts nothing.
        targets: (R, S - 1).
        learned: (R, S - 1) bool.
    """
    where = learned.nonzero()
    total = 0.0
    for some in where.split(CHUNK):  # a vocabulary of float32 logits for a whole sample would not fit beside a model
        row, column = some.unbind(1)
        read = logits[row, column].float()
        total += float((read.logsumexp(-1) - read.gather(-1, targets[row, column][:, None])[:, 0]).sum())
    return total, len(where)
