"""From log-likelihoods of a pool's texts for each of its pictures to recall, both ways.

K  rows of a pool: picture k and text k belong together
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["recall_at"]


def recall_at(scores: Sequence[float], right: int, k: int) -> float:
    """Is the right one among the first ``k``? Where scores tie, the chance of it under a random order of the tied.

    So a model that cannot tell its candidates apart (a tokenizer without their script) is at chance, not at 1.

    Args:
        scores: of all candidates, the higher the better.
        right: place of the right one.
        k: how many count as found.

    >>> recall_at([0.1, 0.7, 0.2], 1, 1), recall_at([0.5, 0.5, 0.5, 0.5], 2, 1), recall_at([3, 2, 2, 1], 1, 2)
    (1.0, 0.25, 0.5)
    """
    better = sum(score > scores[right] for score in scores)
    tied = sum(score == scores[right] for score in scores)
    return min(1.0, max(0.0, (k - better) / tied))
