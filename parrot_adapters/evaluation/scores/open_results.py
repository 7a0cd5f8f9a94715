"""An open task's answers as numbers with intervals, and as files that say where each comes from."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean

from parrot_adapters.atomic_files import write_json, write_text
from parrot_adapters.evaluation.answers.askers import option_values
from parrot_adapters.evaluation.answers.evaluate import Evaluation
from parrot_adapters.evaluation.answers.reply_text import without_thoughts
from parrot_adapters.evaluation.answers.store import Answer
from parrot_adapters.evaluation.benchmark.questions import Question
from parrot_adapters.evaluation.benchmark.tasks import NAMING
from parrot_adapters.evaluation.scores.intervals_and_tests import (
    Erosion,
    Interval,
    clustered_interval,
    erosion,
    macro_interval,
)
from parrot_adapters.evaluation.scores.name_match import CharacterF, exactly
from parrot_adapters.evaluation.scores.provenance import run_provenance
from parrot_adapters.evaluation.scores.retrieval import recall_at

__all__ = ["CUTOFFS", "Item", "Measure", "TaskResult", "score_task", "write_task_results"]

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


@dataclass(frozen=True)
class Measure:
    """One measure over all subsets; intervals resample questions, which the languages share.

    Attributes:
        name: what it is.
        intervals: mean and interval by subset.
        macro: of the mean over subsets.
        lost: English minus the subset, on the same questions.
        splits: mean by split and subset, where rows have splits.
        chance: mean by subset; empty where it is not known.
    """

    name: str
    intervals: Mapping[str, Interval]
    macro: Interval
    lost: Mapping[str, Erosion]
    splits: Mapping[str, Mapping[str, float]]
    chance: Mapping[str, float]


@dataclass(frozen=True)
class TaskResult:
    """A scored run of an open task.

    Attributes:
        run: what was asked and told.
        items: one for each question.
        measures: in the order in which they are shown.
        notes: what a reader should know.
    """

    run: Evaluation
    items: Sequence[Item]
    measures: Sequence[Measure]
    notes: Sequence[str]

    @property
    def subsets(self) -> tuple[str, ...]:
        """Names of the languages' parts, in their order."""
        return tuple(dict.fromkeys(item.question.subset for item in self.items))

    def provenance(self) -> dict[str, object]:
        """What every number depends on."""
        task = self.run.config.task
        return run_provenance(
            self.run,
            protocol=f"{task}: {self.measures[0].name}",
            unit="row",
            data={s.name: {"file": s.path.name, "md5": s.md5} for s in self.run.subsets.values()},
            by_option=task != NAMING,
        )

    def as_json(self) -> dict[str, object]:
        """The content of ``results.json``; in ``subsets`` the first measure, as ``parrot compare`` reads it."""
        main = self.measures[0]
        return self.provenance() | {
            "subsets": {
                name: {
                    "overall": main.intervals[name].estimate,
                    "hits": {
                        str(item.question.index): int(item.values[main.name])
                        for item in self.items
                        if item.question.subset == name
                    },
                }
                for name in self.subsets
            },
            "measures": {measure.name: _measure(measure) for measure in self.measures},
            "values": {
                measure.name: {
                    name: {
                        str(item.question.index): round(item.values[measure.name], 6)
                        for item in self.items
                        if item.question.subset == name
                    }
                    for name in self.subsets
                }
                for measure in self.measures
            },
            "notes": list(self.notes),
            "config": asdict(self.run.config),
            "answers": {"new": self.run.made, "batch_size": self.run.batch_size},
        }


def score_task(run: Evaluation, *, resamples: int = 2000) -> TaskResult:
    """Score a run of an open task.

    Raises:
        MissingDependencyError: naming without sacrebleu.
    """
    config = run.config
    pairs = list(zip(run.questions, run.answers, strict=True))
    notes = [warning for subset in run.subsets.values() for warning in subset.warnings]
    if config.task == NAMING:
        metric = CharacterF()
        items = [_named(question, answer, config.think, metric) for question, answer in pairs]
        notes.append(f"chrF: {metric.signature}")
        if cut := sum(not answer.finished for answer in run.answers):
            notes.append(f"{cut} of {len(pairs)} replies were cut off at {config.max_new_tokens} tokens")
    else:
        items = _retrieved(pairs, config.option_score)
        sizes = sorted({len(question.options) for question in run.questions})
        notes.append(f"pools of {' or '.join(map(str, sizes))}; texts by {config.option_score}; ties count by chance")
    return TaskResult(run, items, [_measured(name, items, resamples) for name in items[0].values], notes)


def write_task_results(result: TaskResult, out: str | Path) -> None:
    """Write ``results.json`` and ``rows.csv``."""
    write_json(Path(out) / "results.json", result.as_json())
    names = [measure.name for measure in result.measures]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["subset", "language", "index", "category", "split", "name", "said", *names])
    for item in result.items:
        question, row = item.question, item.question.row
        labels = [row.label("category"), row.label("split")]
        values = [round(item.values[name], 6) for name in names]
        said = " | ".join(item.said)
        writer.writerow([question.subset, question.language, question.index, *labels, item.name, said, *values])
    write_text(Path(out) / "rows.csv", text.getvalue())


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
    drawn = {subset: (list(values.values()), list(values)) for subset, values in groups.items()}
    return Measure(
        name,
        {subset: clustered_interval(hits, asked, resamples=resamples) for subset, (hits, asked) in drawn.items()},
        macro_interval(drawn, resamples=resamples),
        {
            subset: erosion(groups[english], values, resamples=resamples)
            for subset, values in groups.items()
            if english not in (None, subset) and set(values) & set(groups[english])
        },
        _by(items, lambda item: item.question.row.label("split"), name),
        {
            subset: fmean(item.chance[name] for item in items if item.question.subset == subset)
            for subset in groups
            if all(name in item.chance for item in items)
        },
    )


def _by(items: Sequence[Item], label: Callable[[Item], str | None], name: str) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, list[float]]] = {}
    for item in items:
        key = label(item)
        if key is not None:
            found.setdefault(key, {}).setdefault(item.question.subset, []).append(item.values[name])
    return {key: {subset: fmean(values) for subset, values in by.items()} for key, by in found.items()}


def _measure(measure: Measure) -> dict[str, object]:
    return {
        "subsets": {
            name: {
                **interval._asdict(),
                "chance": measure.chance.get(name),
                "lost": measure.lost[name].interval._asdict() if name in measure.lost else None,
                "splits": {split: by[name] for split, by in measure.splits.items() if name in by},
            }
            for name, interval in measure.intervals.items()
        },
        "language_macro": measure.macro._asdict(),
    }
