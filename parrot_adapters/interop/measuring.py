"""What a micro-batch's forward pass says about it.

R  rows    S  positions    V  vocabulary
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from parrot_adapters.training.metrics import Measured

__all__ = ["IGNORED", "measure", "targets_of"]

IGNORED = -100
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
) -> None:
    """Count a micro-batch.

    Args:
        measured: sums to add to.
        given: the host's arguments.
        outputs: what it made of them.
        terms: of its loss, means over learned tokens.
        targets: (R, S - 1) from :func:`targets_of`.
        languages: of the rows.
    """
    learned = int((targets != IGNORED).sum())
    values = torch.stack([term.to(targets.device, torch.float32) for term in terms.values()]).tolist()
    mask = given.get("attention_mask")
    read = int(mask.sum()) if mask is not None and mask.dim() == 2 else given["labels"].numel()
    measured.add_losses(dict(zip(terms, values, strict=True)), learned, read)
    logits = outputs.get("logits") if isinstance(outputs, Mapping) else None
    if logits is None or languages is None or not any(languages):
        return
    # The last position predicts nothing.
    for language, row, wanted in zip(languages, logits[:, : targets.shape[1]], targets, strict=True):
        measured.add_language(language, *_sum_of_losses(row, wanted))


def _sum_of_losses(logits: Tensor, targets: Tensor) -> tuple[float, int]:
    """Cross-entropy summed over the learned tokens of a sample, and how many they are. (S, V), (S) ->"""
    learned = (targets != IGNORED).nonzero().flatten()
    total = 0.0
    for some in learned.split(CHUNK):  # a vocabulary of float32 logits for a whole sample would not fit beside a model
        read = logits[some].float()
        total += float((read.logsumexp(-1) - read.gather(-1, targets[some][:, None])[:, 0]).sum())
    return total, len(learned)
