"""What a micro-batch's forward pass says about it.

R  rows    S  positions    V  vocabulary
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from parrot_adapters.core.ragged import places_of_true
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
    *,
    learned: int,
) -> None:
    """Count a micro-batch. Waits for the device once.

    Args:
        measured: sums to add to.
        given: the host's arguments.
        outputs: what it made of them.
        terms: of its loss, means over learned tokens.
        targets: (R, S - 1) from :func:`targets_of`.
        languages: of the samples.
        segments: (R, S), the sample of each position of packed rows; None where a row is a sample.
        learned: tokens that are learned, T.
    """
    where = places_of_true((targets != IGNORED).flatten(), learned)  # (T,)
    row, column = where // targets.shape[1], where % targets.shape[1]
    read, positions, unpacked = _positions(given, segments)
    asked = [*terms.values(), *([read] if isinstance(read, Tensor) else [])]
    parts = [torch.stack([value.to(targets.device, torch.float32) for value in asked])]
    logits = outputs.get("logits") if isinstance(outputs, Mapping) else None
    by_language = logits is not None and languages is not None and any(languages)
    if by_language:
        # Whose the predicted token is: of packed rows, the last columns are those of the targets.
        whose = row if segments is None else segments.to(targets.device)[:, -targets.shape[1] :][row, column]
        parts += [whose.float(), _losses(logits, targets, row, column)]
    told, *by_token = torch.cat(parts).cpu().split([len(part) for part in parts])
    means = dict(zip(terms, told.tolist(), strict=False))
    read = round(told[-1].item()) if isinstance(read, Tensor) else read
    measured.add_losses(means, learned, read, positions, unpacked)
    if not by_language or languages is None:
        return
    whose, losses = by_token[0].long(), by_token[1]  # here sums are exact and always alike
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


def _losses(logits: Any, targets: Tensor, row: Tensor, column: Tensor) -> Tensor:
    """(T,) float32 cross-entropy of each learned token.

    Args:
        logits: (R, S, V); the last position predicts nothing.
        targets: (R, S - 1).
        row: (T,) of each learned token.
        column: (T,) of each learned token.
    """
    found = []
    # A vocabulary of float32 for every token at once would not fit beside a model.
    for where in zip(row.split(CHUNK), column.split(CHUNK), strict=True):
        read = logits[where].float()
        found.append(read.logsumexp(-1) - read.gather(-1, targets[where][:, None])[:, 0])
    return torch.cat(found)
