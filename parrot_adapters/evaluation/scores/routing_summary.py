"""What a router did in a run: usage, entropy, languages told apart, collapses. From the answers: no model is needed."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import TYPE_CHECKING, Any

from parrot_adapters.evaluation.scores.result import RoutingUse

if TYPE_CHECKING:
    from parrot_adapters.evaluation.answers.evaluate import Evaluation

__all__ = ["routing_statistics", "routing_use"]


def routing_statistics(run: Evaluation) -> dict[str, Any] | None:
    """Statistics of the routing, one decision for each answer (the mean over a question's pictures), with ``flags``.

    Returns:
        Plain data (see :class:`parrot_adapters.analysis.RoutingStatistics`), or None where nothing was routed.
    """
    routed = [(q.language, a.routing) for q, a in zip(run.questions, run.answers, strict=True) if a.routing is not None]
    if not routed:
        return None
    import torch  # a run without adapter is reported without it

    from parrot_adapters.core import RoutingStatistics

    seen = RoutingStatistics.of_rows(torch.tensor([weights for _, weights in routed]), [x for x, _ in routed])
    return {**seen.to_dict(), "flags": seen.flags()}


def routing_use(run: Evaluation) -> RoutingUse | None:
    """Return mean routing weights by subset and by category, and statistics of it all; None without an adapter.

    Args:
        run: The answered questions.
    """
    routed = [(q, a.routing) for q, a in zip(run.questions, run.answers, strict=True) if a.routing is not None]
    if not routed:
        return None
    by_subset: dict[str, list[list[float]]] = {}
    by_category: dict[str, list[list[float]]] = {}
    for question, weights in routed:
        by_subset.setdefault(question.subset, []).append(weights)
        by_category.setdefault(question.row.label("category") or "-", []).append(weights)
    return RoutingUse(
        {name: _mean(rows) for name, rows in by_subset.items()},
        {name: _mean(by_category[name]) for name in sorted(by_category)},
        routing_statistics(run),
    )


def _mean(rows: Sequence[Sequence[float]]) -> tuple[float, ...]:
    return tuple(fmean(values) for values in zip(*rows, strict=True))
