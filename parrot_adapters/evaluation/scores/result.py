"""The result of a scored run: one schema for ``parrot evaluate``, ``parrot score`` and open tasks, and for all readers.

``results.json`` is this class and nothing else: a field is a key. What does not apply to a run (measures of names in a
multiple-choice run, the model of replies that were made elsewhere) is empty or null. Version 1 is the first that says
its version; files written before it have the same keys, as far as they have them, and are read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from statistics import fmean
from typing import Any, Literal

from parrot_adapters.evaluation.scores.letter_bias import PositionBias
from parrot_adapters.evaluation.scores.paired_runs import Erosion, Flips
from parrot_adapters.statistics import Interval

__all__ = [
    "SCHEMA_VERSION",
    "DataFile",
    "Fidelity",
    "MatcherScores",
    "Means",
    "Measure",
    "MeasuredSubset",
    "ReliabilityBin",
    "Result",
    "RoutingUse",
    "Statistics",
    "SubsetScore",
    "means",
]

SCHEMA_VERSION = 1
Hit = Literal[0, 1]
Shares = Mapping[str, float]


@dataclass(frozen=True)
class SubsetScore:
    """One language's score. Accuracies are fractions.

    Attributes:
        overall: Share of units that are right; None where nothing was scored.
        category: Accuracy by category.
        l2_category: Accuracy by broad category.
        split: Accuracy by split; empty where the file has none.
        choices: Row index to option letter, ``Z`` for a refusal, None for not found.
        hits: Unit to 1 or 0; a circular unit goes by its base row's index.
        warnings: What a reader should know of the rows that were scored.
    """

    overall: float | None = None
    category: Shares = field(default_factory=dict)
    l2_category: Shares = field(default_factory=dict)
    split: Shares = field(default_factory=dict)
    choices: Mapping[int, str | None] = field(default_factory=dict)
    hits: Mapping[int, Hit] = field(kw_only=True)
    warnings: tuple[str, ...] = ()

    @property
    def not_found(self) -> float | None:
        """Share of replies in which no choice was found."""
        return fmean(choice is None for choice in self.choices.values()) if self.choices else None


@dataclass(frozen=True)
class Means:
    """Two ways to one number: every unit alike, and every language alike (what papers print as "average")."""

    row_weighted: float | None
    language_macro: float | None


@dataclass(frozen=True)
class Statistics:
    """What scores say beyond accuracy, by subset. Intervals draw questions, which languages and passes share.

    Attributes:
        intervals: Intervals of accuracy.
        row_weighted: Interval of the mean over units.
        language_macro: Interval of the mean over languages.
        erosion: Accuracy lost from English, for every other language that shares units with it.
        flips: Units that are right in English or in the other language only.
        position_bias: Letters chosen against letters that are right.
    """

    intervals: Mapping[str, Interval] = field(default_factory=dict)
    row_weighted: Interval | None = None
    language_macro: Interval | None = None
    erosion: Mapping[str, Erosion] = field(default_factory=dict)
    flips: Mapping[str, Flips] = field(default_factory=dict)
    position_bias: Mapping[str, PositionBias] = field(default_factory=dict)


@dataclass(frozen=True)
class MatcherScores:
    """Everything that depends on the matcher, by subset."""

    overall: Mapping[str, float | None]
    not_found: Mapping[str, float | None]
    means: Means
    hits: Mapping[str, Mapping[int, Hit]] = field(default_factory=dict)
    choices: Mapping[str, Mapping[int, str | None]] = field(default_factory=dict)
    statistics: Statistics = field(default_factory=Statistics)

    @classmethod
    def of(cls, scores: Mapping[str, SubsetScore], statistics: Statistics) -> MatcherScores:
        """Collect scores by subset."""
        return cls(
            {name: score.overall for name, score in scores.items()},
            {name: score.not_found for name, score in scores.items()},
            means(scores),
            {name: score.hits for name, score in scores.items()},
            {name: score.choices for name, score in scores.items()},
            statistics,
        )


@dataclass(frozen=True)
class DataFile:
    """A benchmark file that was read.

    Attributes:
        file: Name of the file.
        md5: MD5 of its bytes.
        published: Whether that is the published file.
    """

    file: str | None = None
    md5: str | None = None
    published: bool = False


@dataclass(frozen=True)
class Fidelity:
    """How many replies to one language's questions are in that language.

    Attributes:
        rate: Share in the asked language, of the replies that could be told; None where none could.
        kept: Replies in it.
        other: Replies not in it.
        abstained: Replies too short to tell, or of which the detector was not sure.
        by: ``script``, or the detector's name.
        shared_script: Other languages of the run that the script does not tell from this one.
        verdicts: By row.
    """

    rate: float | None
    kept: int
    other: int
    abstained: int
    by: str
    shared_script: tuple[str, ...] = ()
    verdicts: Mapping[int, bool | None] = field(default_factory=dict)


@dataclass(frozen=True)
class ReliabilityBin:
    """The rows whose confidence lies between two tenths.

    Attributes:
        low: Least confidence.
        high: Largest confidence.
        rows: How many.
        confidence: Their mean confidence.
        accuracy: Share of them whose likeliest letter is right.
    """

    low: float
    high: float
    rows: int
    confidence: float
    accuracy: float


@dataclass(frozen=True)
class RoutingUse:
    """Mean routing weights by subset and by category, and statistics of all decisions."""

    subsets: Mapping[str, tuple[float, ...]]
    categories: Mapping[str, tuple[float, ...]]
    statistics: Mapping[str, object] | None = None


@dataclass(frozen=True)
class MeasuredSubset(Interval):
    """A measure of an open task in one language.

    Attributes:
        chance: What guessing would score; None where that is not known.
        lost: English minus this language, on the same questions.
        splits: Mean by split.
    """

    chance: float | None = None
    lost: Interval | None = None
    splits: Shares = field(default_factory=dict)


@dataclass(frozen=True)
class Measure:
    """A measure of an open task over all subsets."""

    subsets: Mapping[str, MeasuredSubset]
    language_macro: Interval


@dataclass(frozen=True, kw_only=True)
class Result:
    """A scored run, with what every number of it depends on.

    Attributes:
        schema_version: Version of this class; None in files that were written before there was one.
        benchmark: Name of the benchmark.
        task: ``choice``, ``comparison``, ``naming`` or ``retrieval``.
        protocol: How replies became scores.
        mode: ``exact``: replies are read by rules. No number here is of the reference harness's ``judge`` mode, in
            which another model reads them.
        unit: What is counted once: ``row`` or ``circular``.
        matcher: Whose scores ``subsets`` and ``statistics`` are; None where no choice was read.
        subsets: Scores by subset; of an open task, those of its first measure.
        means: Means of ``subsets``, over units and over languages.
        statistics: Intervals and tests of ``subsets``.
        not_found: Share of replies without a choice, by subset.
        matchers: Scores by matcher.
        measures: Measures of an open task by name.
        values: Values of each row of an open task, by measure and subset.
        data: Files that were read, by subset.
        predictions_sha256: SHA-256 of the replies.
        prompts_sha256: SHA-256 of the prompts, by subset.
        prompt_sha256: SHA-256 of all prompts.
        fidelity: How many free replies are in the language they were asked in, by subset.
        cut_off: Share of replies that were cut off, by subset.
        option_scores: Accuracy by kind of likelihood and subset, where log-likelihoods choose.
        calibration: Expected calibration error by subset, where log-likelihoods choose.
        reliability: The bins behind ``calibration``.
        confusion: Number of rows by subset, right letter and chosen letter (``-`` for none).
        routing: What the adapter's router did; None without an adapter.
        prompt_style: Name of the prompts' style.
        generation: Settings with which replies were generated; None where none were.
        option_score: Kind of likelihood that chose; None where replies were read.
        think: How a reply's thinking was treated; None where nothing was asked for.
        limit: Number of questions of each language; None for all.
        processor: Settings that replaced the processor's own.
        host: Identity of the model.
        adapter: Identity of the adapter; None without one.
        config: All settings of the run.
        answers: How many answers are new, and in which batches they were made.
        versions: Versions of the packages that can change a score.
        warnings: What a reader should know.
    """

    schema_version: int | None = None
    benchmark: str
    task: str = "choice"
    protocol: str
    mode: str = "exact"
    unit: str | None = None
    matcher: str | None = None
    subsets: Mapping[str, SubsetScore]
    means: Means | None = None
    statistics: Statistics | None = None
    not_found: Mapping[str, float | None] = field(default_factory=dict)
    matchers: Mapping[str, MatcherScores] = field(default_factory=dict)
    measures: Mapping[str, Measure] = field(default_factory=dict)
    values: Mapping[str, Mapping[str, Mapping[int, float]]] = field(default_factory=dict)
    data: Mapping[str, DataFile] = field(default_factory=dict)
    predictions_sha256: str | None = None
    prompts_sha256: Mapping[str, str] = field(default_factory=dict)
    prompt_sha256: str | None = None
    fidelity: Mapping[str, Fidelity] = field(default_factory=dict)
    cut_off: Shares = field(default_factory=dict)
    option_scores: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)
    calibration: Shares = field(default_factory=dict)
    reliability: Mapping[str, tuple[ReliabilityBin, ...]] = field(default_factory=dict)
    confusion: Mapping[str, Mapping[str, Mapping[str, int]]] = field(default_factory=dict)
    routing: RoutingUse | None = None
    prompt_style: str | None = None
    generation: Mapping[str, object] | None = None
    option_score: str | None = None
    think: str | None = None
    limit: int | None = None
    processor: Mapping[str, object] | None = None
    host: Mapping[str, object] | None = None
    adapter: Mapping[str, object] | None = None
    config: Mapping[str, object] | None = None
    answers: Mapping[str, object] | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def origin(self) -> dict[str, object]:
        """Return what every number of this run depends on, as plain data."""
        keys = (
            *("benchmark", "task", "protocol", "mode", "unit", "matcher", "prompt_style", "prompt_sha256"),
            *("generation", "option_score", "think", "limit", "processor", "host", "adapter", "versions"),
        )
        files = {"data": {name: asdict(file) for name, file in self.data.items()}}
        return {key: getattr(self, key) for key in keys} | files

    def as_json(self) -> dict[str, object]:
        """Return the content of ``results.json``.

        Beside the fields it has two older names of theirs: ``robust`` (of ``matchers``), ``notes`` (``warnings``).
        """
        made: dict[str, Any] = json.loads(json.dumps(asdict(self)))  # as a reader of the file will see it
        for score in made["subsets"].values():
            del score["warnings"]  # they stand together, under their own key
        for fidelity in made["fidelity"].values():
            del fidelity["verdicts"]  # they stand in rows.csv
        if "robust" in made["matchers"]:
            robust = made["matchers"]["robust"]
            made["robust"] = {key: robust[key] for key in ("overall", "not_found", "means", "choices")}
        if self.measures:
            made["notes"] = made["warnings"]
        return made


def means(scores: Mapping[str, SubsetScore]) -> Means:
    """Return the mean over units, and the mean over languages.

    Args:
        scores: Scores by subset.
    """
    units = [hit for score in scores.values() for hit in score.hits.values()]
    overall = [score.overall for score in scores.values() if score.overall is not None]
    return Means(fmean(units) if units else None, fmean(overall) if overall else None)
