"""How a run's micro-batches would be laid out, from the lengths of some of its samples."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import accumulate
from typing import Any

from parrot_adapters.training.training_config import TrainingConfig

__all__ = ["heaviest", "padding_by_layout", "rows_of"]


def rows_of(run: TrainingConfig, length: int) -> int:
    """Samples of a micro-batch in which the longest has so many tokens."""
    budget = run.data.token_budget
    return run.batch.per_device if budget is None else max(1, min(run.batch.per_device, budget // max(length, 1)))


def heaviest(run: TrainingConfig, lengths: Mapping[int, int]) -> list[int]:
    """The micro-batch of the longest samples.

    Args:
        run: its configuration.
        lengths: tokens by sample.
    """
    longest = sorted(lengths, key=lambda index: -lengths[index])
    if not run.data.packing or run.data.token_budget is None:
        return longest[: rows_of(run, lengths[longest[0]])]
    together = accumulate(lengths[index] for index in longest)
    fit = sum(tokens <= run.data.token_budget for tokens in together)
    return longest[: max(1, min(fit, run.batch.per_device))]


def padding_by_layout(run: TrainingConfig, lengths: list[int]) -> dict[str, float]:
    """Share of positions that would be padding: ``padded`` (a row for each sample), ``grouped``, ``packed``.

    Args:
        run: its configuration.
        lengths: tokens of samples in the order of the run.
    """
    import torch

    from parrot_adapters.data.batch_order import cut, padding

    if not lengths:
        return {}
    counts, size = torch.tensor(lengths), run.batch.per_device
    options: dict[str, Any] = {"lengths": counts, "budget": run.data.token_budget, "seed": run.seed}
    rows = {"padded": None, "grouped": None, "packed": run.data.max_length}
    return {
        name: padding(
            cut(torch.arange(len(counts)), size, group=name == "grouped", row=row, **options), counts, row=row
        )
        for name, row in rows.items()
    }
