"""What scores say beyond their accuracies: intervals, what is lost outside English, favoured letters."""

from __future__ import annotations

from collections.abc import Hashable, Mapping

from parrot_adapters.evaluation.benchmark.rows import PASS
from parrot_adapters.evaluation.benchmark.subsets import Subset
from parrot_adapters.evaluation.scores.letter_bias import PositionBias, position_bias
from parrot_adapters.evaluation.scores.paired_runs import erosion, flips
from parrot_adapters.evaluation.scores.result import Statistics, SubsetScore
from parrot_adapters.statistics import clustered_interval, macro_interval

__all__ = ["statistics_of"]


def statistics_of(
    scores: Mapping[str, SubsetScore],
    subsets: Mapping[str, Subset],
    english: str,
    *,
    resamples: int = 2000,
    seed: int = 0,
) -> Statistics:
    """Compute the statistics of scores.

    Args:
        scores: Scores by subset name.
        subsets: The questions they are of, by the same names.
        english: Name of the English subset, which may be absent.
        resamples: How often the questions are drawn again.
        seed: Of the draws.
    """
    scores = {name: score for name, score in scores.items() if score.hits}
    groups = {name: (list(score.hits.values()), _questions(score)) for name, score in scores.items()}
    hits = [hit for values, _ in groups.values() for hit in values]
    questions = [question for _, asked in groups.values() for question in asked]
    first = scores.get(english)
    shared = {
        name: (_by_unit(first), _by_unit(score))
        for name, score in scores.items()
        if first is not None and score is not first and set(score.hits) & set(first.hits)
    }
    clusters: dict[Hashable, Hashable] = {unit: unit % PASS for score in scores.values() for unit in score.hits}
    how = {"resamples": resamples, "seed": seed}
    return Statistics(
        {name: clustered_interval(values, asked, **how) for name, (values, asked) in groups.items()},
        clustered_interval(hits, questions, **how) if hits else None,
        macro_interval(groups, **how) if groups else None,
        {name: erosion(en, other, clusters=clusters, **how) for name, (en, other) in shared.items()},
        {name: flips(en, other) for name, (en, other) in shared.items()},
        {name: _position_bias(score, subsets[name]) for name, score in scores.items()},
    )


def _by_unit(score: SubsetScore) -> dict[Hashable, float]:
    return {unit: float(hit) for unit, hit in score.hits.items()}


def _questions(score: SubsetScore) -> list[Hashable]:
    return [unit % PASS for unit in score.hits]


def _position_bias(score: SubsetScore, subset: Subset) -> PositionBias:
    answers = {row.index: row.answer for row in subset.rows}
    choices = score.choices.items()
    return position_bias((choice, answer) for index, choice in choices if (answer := answers[index]) is not None)
