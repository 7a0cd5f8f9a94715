"""An open task's answers as numbers with intervals, and as files that say where each comes from."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from parrot_adapters.atomic_files import write_json, write_text
from parrot_adapters.errors import ConfigError, writing
from parrot_adapters.evaluation.answers.askers import option_values
from parrot_adapters.evaluation.answers.evaluate import Evaluation
from parrot_adapters.evaluation.answers.host_protocol import Answer
from parrot_adapters.evaluation.answers.reply_text import without_thoughts
from parrot_adapters.evaluation.benchmark.questions import Question
from parrot_adapters.evaluation.benchmark.tasks import NAMING
from parrot_adapters.evaluation.scores.choice_result import data_files
from parrot_adapters.evaluation.scores.name_match import CharacterF, exactly
from parrot_adapters.evaluation.scores.paired_runs import erosion
from parrot_adapters.evaluation.scores.result import (
    SCHEMA_VERSION,
    Measure,
    MeasuredSubset,
    Result,
    SubsetScore,
    means,
)
from parrot_adapters.evaluation.scores.retrieval import recall_at
from parrot_adapters.evaluation.scores.run_origin import with_origin
from parrot_adapters.statistics import Interval, clustered_interval, macro_interval

__all__ = ["CUTOFFS", "Item", "score_items", "score_task", "write_task_results"]

CUTOFFS = (1, 5)
"""Of recall."""


@dataclass(frozen=True)
class Item:
    """One question with its answer, and what it scored.

    Attributes:
        question: as it was asked.
        name: the right text.
        said: the reply, or the likeliest texts, the likeliest first.
        values: by measure, from 0 to 1.
        chance: what guessing would score, by measure, where that is known.
    """

    question: Question
    name: str
    said: tuple[str, ...]
    values: Mapping[str, float]
    chance: Mapping[str, float]


def score_items(run: Evaluation) -> list[Item]:
    """Score every question of a run of an open task by itself.

    Args:
        run: The answered questions.

    Raises:
        MissingDependencyError: The task is naming, and sacrebleu is not installed.
    """
    pairs = list(zip(run.questions, run.answers, strict=True))
    if run.config.task == NAMING:
        metric = CharacterF()
        return [_named(question, answer, run.config.think, metric) for question, answer in pairs]
    return _retrieved(pairs, run.config.option_score)


def score_task(run: Evaluation, items: Sequence[Item], *, resamples: int = 2000) -> Result:
    """Score a run of an open task.

    Args:
        run: The answered questions.
        items: The same, scored one by one.
        resamples: How often the questions are drawn again for intervals.
    """
    task = run.config.task
    measures = {name: _measured(name, items, resamples) for name in items[0].values}
    main = next(iter(measures))
    names = list(dict.fromkeys(item.question.subset for item in items))
    subsets = {
        name: SubsetScore(
            overall=measures[main].subsets[name].estimate,
            # Half a hit, where ties count by chance, is none: runs are compared by what is surely right.
            hits={index: 1 if value >= 1 else 0 for index, value in _values(items, main, name).items()},
        )
        for name in names
    }
    result = Result(
        schema_version=SCHEMA_VERSION,
        benchmark=run.config.benchmark,
        task=task,
        protocol=f"{task}: {main}",
        unit="row",
        subsets=subsets,
        means=means(subsets),
        measures=measures,
        values={
            measure: {
                name: {index: round(value, 6) for index, value in _values(items, measure, name).items()}
                for name in names
            }
            for measure in measures
        },
        data=data_files(run.subsets, run.config.source),
        warnings=(*(warning for subset in run.subsets.values() for warning in subset.warnings), *_notes(run)),
    )
    return with_origin(result, run, by_option=task != NAMING)


def write_task_results(result: Result, items: Sequence[Item], out: str | Path) -> None:
    """Write ``results.json`` and ``rows.csv``.

    Args:
        result: Scores of the run.
        items: The questions, scored one by one.
        out: Directory of the run.
    """
    with writing(out, ConfigError):
        write_json(Path(out) / "results.json", result.as_json())
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["subset", "language", "index", "category", "split", "name", "said", *result.measures])
    for item in items:
        question, row = item.question, item.question.row
        labels = [row.label("category"), row.label("split")]
        values = [round(item.values[name], 6) for name in result.measures]
        said = " | ".join(item.said)
        writer.writerow([question.subset, question.language, question.index, *labels, item.name, said, *values])
    with writing(out, ConfigError):
        write_text(Path(out) / "rows.csv", text.getvalue())


def _notes(run: Evaluation) -> list[str]:
    if run.config.task == NAMING:
        notes = [f"chrF: {CharacterF().signature}"]
        if cut := sum(not answer.finished for answer in run.answers):
            notes.append(f"{cut} of {len(run.answers)} replies were cut off at {run.config.max_new_tokens} tokens")
        return notes
    sizes = " or ".join(str(size) for size in sorted({len(question.options) for question in run.questions}))
    return [f"pools of {sizes}; texts by {run.config.option_score}; ties count by chance"]


def _values(items: Sequence[Item], measure: str, subset: str) -> dict[int, float]:
    return {item.question.index: item.values[measure] for item in items if item.question.subset == subset}


def _named(question: Question, answer: Answer, think: str, metric: CharacterF) -> Item:
    said = answer.prediction or ""
    said = without_thoughts(said) if think == "strip" else said
    name = question.options[str(question.row.answer)]
    values = {"exact": float(exactly(said, name)), "chrF": metric(said, name)}
    return Item(question, name, (said,), values, {})


def _retrieved(pairs: Sequence[tuple[Question, Answer]], option_score: str) -> list[Item]:
    """Both ways: a picture's texts are its own scores; a text's pictures are the same text's scores in the pool."""
    scored: dict[tuple[str, str], dict[str, float]] = {}
    for question, answer in pairs:
        values = option_values(answer.scores or {}, option_score, question.options)
        scored[question.language, question.options[str(question.row.answer)]] = {
            text: values[letter] for letter, text in question.options.items()
        }
    items = []
    for question, _ in pairs:
        name, language = question.options[str(question.row.answer)], question.language
        pool = list(question.options.values())
        own, right = scored[language, name], pool.index(name)
        texts = [own[text] for text in pool]
        pictures = [scored[language, text][name] for text in pool]
        values = {f"image to text R@{k}": recall_at(texts, right, k) for k in CUTOFFS}
        values |= {f"text to image R@{k}": recall_at(pictures, right, k) for k in CUTOFFS}
        chance = {measure: min(1.0, int(measure.rpartition("@")[2]) / len(pool)) for measure in values}
        best = sorted(pool, key=lambda text: -own[text])[: CUTOFFS[-1]]
        items.append(Item(question, name, tuple(best), values, chance))
    return items


def _measured(name: str, items: Sequence[Item], resamples: int) -> Measure:
    groups: dict[str, dict[Hashable, float]] = {}
    for item in items:
        groups.setdefault(item.question.subset, {})[item.question.index] = item.values[name]
    english = next((item.question.subset for item in items if item.question.language == "en"), None)
    splits = _by(items, lambda item: item.question.row.label("split"), name)
    drawn = {subset: (list(values.values()), list(values)) for subset, values in groups.items()}

    def lost(subset: str) -> Interval | None:
        if english in (None, subset) or not set(groups[subset]) & set(groups[english]):
            return None
        return erosion(groups[english], groups[subset], resamples=resamples)

    def measured(subset: str) -> MeasuredSubset:
        found = clustered_interval(*drawn[subset], resamples=resamples)
        chance = [item.chance.get(name) for item in items if item.question.subset == subset]
        return MeasuredSubset(
            found.estimate,
            found.low,
            found.high,
            found.level,
            None if None in chance else fmean(value for value in chance if value is not None),
            lost(subset),
            {split: by[subset] for split, by in splits.items() if subset in by},
        )

    return Measure({subset: measured(subset) for subset in groups}, macro_interval(drawn, resamples=resamples))


def _by(items: Sequence[Item], label: Callable[[Item], str | None], name: str) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, list[float]]] = {}
    for item in items:
        key = label(item)
        if key is not None:
            found.setdefault(key, {}).setdefault(item.question.subset, []).append(item.values[name])
    return {key: {subset: fmean(values) for subset, values in by.items()} for key, by in found.items()}
