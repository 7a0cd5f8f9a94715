"""What a scored run says beyond its accuracies: intervals, what is lost outside English, favoured letters."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import NamedTuple

from parrot_adapters.evaluation.benchmark.rows import PASS
from parrot_adapters.evaluation.scores.intervals_and_tests import (
    Erosion,
    Flips,
    Interval,
    PositionBias,
    clustered_interval,
    erosion,
    flips,
    macro_interval,
    position_bias,
)
from parrot_adapters.evaluation.scores.score_report import ScoreReport
from parrot_adapters.evaluation.scores.subset_score import SubsetScore

__all__ = ["Analysis", "analyse"]


class Analysis(NamedTuple):
    """By subset name. Intervals resample questions, which all languages and circular passes share."""

    intervals: Mapping[str, Interval]
    row_weighted: Interval | None
    language_macro: Interval | None
    erosion: Mapping[str, Erosion]
    """Accuracy lost from English, for every other language that shares units with it."""
    flips: Mapping[str, Flips]
    position_bias: Mapping[str, PositionBias]

    def as_json(self) -> dict[str, object]:
        """The same, as plain objects."""
        return {
            "intervals": {name: _plain(interval) for name, interval in self.intervals.items()},
            "row_weighted": self.row_weighted and _plain(self.row_weighted),
            "language_macro": self.language_macro and _plain(self.language_macro),
            "erosion": {
                name: {**_plain(found.interval), "questions": found.questions} for name, found in self.erosion.items()
            },
            "flips": {name: _plain(found) for name, found in self.flips.items()},
            "position_bias": {name: _plain(found) for name, found in self.position_bias.items()},
        }


def analyse(report: ScoreReport, *, resamples: int = 2000, seed: int = 0) -> Analysis:
    """Compute the statistics of the reference scores of ``report``."""
    scores = {name: score for name, score in report.reference.items() if score.hits}
    groups = {name: (list(score.hits.values()), _questions(score)) for name, score in scores.items()}
    hits = [hit for values, _ in groups.values() for hit in values]
    questions = [question for _, asked in groups.values() for question in asked]
    english = scores.get(report.benchmark.subset("en"))
    shared = {
        name: (_by_unit(english), _by_unit(score))
        for name, score in scores.items()
        if english is not None and score is not english and set(score.hits) & set(english.hits)
    }
    clusters: dict[Hashable, Hashable] = {unit: unit % PASS for score in scores.values() for unit in score.hits}
    how = {"resamples": resamples, "seed": seed}
    return Analysis(
        {name: clustered_interval(values, asked, **how) for name, (values, asked) in groups.items()},
        clustered_interval(hits, questions, **how) if hits else None,
        macro_interval(groups, **how) if groups else None,
        {name: erosion(en, other, clusters=clusters, **how) for name, (en, other) in shared.items()},
        {name: flips(en, other) for name, (en, other) in shared.items()},
        {name: _position_bias(report, name) for name in scores},
    )


def _by_unit(score: SubsetScore) -> dict[Hashable, float]:
    return {unit: float(hit) for unit, hit in score.hits.items()}


def _questions(score: SubsetScore) -> list[Hashable]:
    return [unit % PASS for unit in score.hits]


def _position_bias(report: ScoreReport, name: str) -> PositionBias:
    answers = {row.index: row.answer for row in report.subsets[name].rows}
    choices = report.reference[name].choices.items()
    return position_bias((choice, answer) for index, choice in choices if (answer := answers[index]) is not None)


def _plain(found: Interval | Flips | PositionBias) -> dict[str, object]:
    return {key: dict(value) if isinstance(value, Mapping) else value for key, value in found._asdict().items()}
