"""What a router did in a run: usage, entropy, languages told apart, collapses. From the answers: no model is needed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from parrot_adapters.evaluation.answers.evaluate import Evaluation

__all__ = ["routing_statistics"]


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
