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
    where = (targets != IGNORED).nonzero()  # (T, 2)
    read, positions, unpacked = _positions(given, segments)
    values = [term.to(targets.device, torch.float32) for term in terms.values()]
    *means, read = torch.stack([*values, torch.as_tensor(read, device=targets.device).float()]).tolist()
    measured.add_losses(dict(zip(terms, means, strict=True)), len(where), round(read), positions, unpacked)
    logits = outputs.get("logits") if isinstance(outputs, Mapping) else None
    if logits is None or languages is None or not any(languages):
        return
    row, column = where.unbind(1)
    # Whose the predicted token is: of packed rows, the last columns are those of the targets.
    whose = row if segments is None else segments.to(targets.device)[:, -targets.shape[1] :][row, column]
    losses = _losses(logits, targets, where)
    whose, losses = torch.stack([whose.float(), losses]).cpu()  # T numbers: sums there are exact and always alike
    whose = whose.long()
    sums = whose.bincount(losses.double(), len(languages)).tolist()
    counts = whose.bincount(minlength=len(languages)).tolist()
    for language, loss, learned in zip(languages, sums, counts, strict=True):
        measured.add_language(language, loss, learned)


def _positions(given: Mapping[str, Any], segments: Tensor | None) -> tuple[Tensor | int, int, int]:
    """Tokens that are no padding, all positions, and positions if each sample had a row of its own."""
    positions = given["labels"].numel()
    if segments is not None:
        lengths = segments[segments >= 0].bincount()
        return int(lengths.sum()), positions, len(lengths) * int(lengths.max())
    mask = given.get("attention_mask")
    return mask.sum() if mask is not None and mask.dim() == 2 else positions, positions, positions


def _losses(logits: Tensor, targets: Tensor, where: Tensor) -> Tensor:
    """(T,) float32 cross-entropy of each learned token.

    Args:
        logits: (R, S, V); the last position predicts nothing.
        targets: (R, S - 1).
        where: (T, 2) row and column of each learned token.
    """
    found = []
    for some in where.split(CHUNK):  # a vocabulary of float32 for every token at once would not fit beside a model
        row, column = some.unbind(1)
        read = logits[row, column].float()
        found.append(read.logsumexp(-1) - read.gather(-1, targets[row, column][:, None])[:, 0])
    return torch.cat(found)
