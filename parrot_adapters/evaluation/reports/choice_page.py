"""``report.html``: one page that shows a run, its numbers and every question of it, with nothing outside itself."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from parrot_adapters.atomic_files import write_bytes, write_text
from parrot_adapters.errors import MissingDependencyError, ParrotWarning
from parrot_adapters.evaluation.benchmark.published import published_scores
from parrot_adapters.evaluation.benchmark.rows import PASS
from parrot_adapters.evaluation.matching.extract_choice import ROBUST
from parrot_adapters.evaluation.reports.figures import run_figures
from parrot_adapters.evaluation.scores.choice_results import RunResult, confusion, routing
from parrot_adapters.evaluation.scores.intervals_and_tests import Interval, clustered_interval
from parrot_adapters.evaluation.scores.score_report import means
from parrot_adapters.pages import direction, flat, render_page, thumbnail

__all__ = ["write_report"]

RESAMPLES = 1000
"""For the intervals of one category in one language."""


def write_report(result: RunResult, out: str | Path) -> None:
    """Write ``report.html``, and its figures as PNG files beside it where matplotlib is installed.

    Args:
        result: the scored run.
        out: the run's directory.
    """
    report, chosen = result.report, result.run.config.matcher
    robust = result.statistics[ROBUST]
    scores = {"reference": report.reference, ROBUST: report.robust}
    categories = _categories(result)
    page = render_page(
        __package__,
        "choice.html",
        config=result.run.config,
        origin=flat(result.provenance()),
        protocol=report.protocol,
        unit=report.protocol.unit(report.benchmark),
        matcher=chosen,
        languages={name: subset.language for name, subset in report.subsets.items()},
        names=list(report.subsets),
        scores=scores,
        chosen=result.scores,
        analysis=result.analysis,
        analyses={"reference": result.statistics["reference"], ROBUST: robust},
        means={name: means(by_subset) for name, by_subset in scores.items()},
        categories=categories,
        confusion=_confusion(result),
        letters=sorted({letter for bias in result.analysis.position_bias.values() for letter in bias.chosen}),
        routing=routing(result.run),
        option_scores=result.option_scores,
        calibration=result.calibration,
        fidelity=report.fidelity,
        published=_published(result),
        ours=_ours(result),
        warnings=report.warnings,
        data=_items(result),
    )
    write_text(Path(out) / "report.html", page)
    try:
        figures = run_figures(result)
    except MissingDependencyError:
        message = "matplotlib is not installed, so the figures are in report.html only, not in PNG files"
        warnings.warn(message, ParrotWarning, stacklevel=2)
        return
    for name, data in figures.items():
        write_bytes(Path(out) / f"{name}.png", data)


def _categories(result: RunResult) -> list[dict[str, Any]]:
    """Accuracy with interval by category and subset, for units by their base row."""
    found: dict[str, dict[str, Interval]] = {}
    for name, score in result.scores.items():
        labels = {row.index: row.label("category") for row in result.report.subsets[name].rows}
        groups: dict[str, list[tuple[int, int]]] = {}
        for unit, hit in score.hits.items():
            groups.setdefault(labels[unit] or "-", []).append((hit, unit % PASS))
        for category, pairs in groups.items():
            hits, questions = zip(*pairs, strict=True)
            interval = clustered_interval(hits, questions, resamples=RESAMPLES)
            found.setdefault(category, {})[name] = interval
    return [{"name": category, "cells": found[category]} for category in sorted(found)]


def _confusion(result: RunResult) -> dict[str, dict[str, Any]]:
    tables = {}
    for name, table in confusion(result).items():
        chosen = sorted({letter for counts in table.values() for letter in counts} | set(table), key=_letter_order)
        largest = max(count for counts in table.values() for count in counts.values())
        tables[name] = {"chosen": chosen, "rows": table, "largest": largest}
    return tables


def _letter_order(letter: str) -> tuple[bool, str]:
    return letter == "-", letter


def _published(result: RunResult) -> list[dict[str, Any]]:
    """Published rows, those of our protocol first."""
    config = result.run.config
    codes = [subset.language for subset in result.report.subsets.values()]
    rows = [
        {"row": row, "same": row.protocol == config.protocol, "cells": [row.scores.get(code) for code in codes]}
        for row in published_scores(config.benchmark)
    ]
    return sorted(rows, key=lambda entry: (not entry["same"], -entry["row"].mean))


def _ours(result: RunResult) -> list[float | None]:
    return [score.overall for score in result.report.reference.values()]


def _items(result: RunResult) -> dict[str, Any]:
    """What the browser of questions shows; texts stand once, pictures are small and stand once."""
    pictures: dict[str, int] = {}
    urls: list[str] = []
    names = list(result.report.subsets)
    categories: dict[str, int] = {}
    items = []
    for question, answer in zip(result.run.questions, result.run.answers, strict=True):
        shown = []
        for text, digest in zip(question.pictures(), question.picture_hashes, strict=True):
            if digest not in pictures:
                pictures[digest] = len(urls)
                urls.append(thumbnail(text))
            shown.append(pictures[digest])
        category = question.row.label("category") or "-"
        reference = result.report.reference[question.subset].choices.get(question.index)
        robust = result.report.robust[question.subset].choices.get(question.index)
        said = answer.prediction if answer.scores is None else _likelihoods(answer.scores)
        items.append(
            [
                names.index(question.subset),
                question.index,
                categories.setdefault(category, len(categories)),
                shown,
                question.prompt,
                question.row.answer,
                reference,
                robust,
                said,
            ]
        )
    codes = [subset.language for subset in result.report.subsets.values()]
    return {
        "subsets": [
            {"name": name, "lang": code, "dir": direction(code)} for name, code in zip(names, codes, strict=True)
        ],
        "categories": list(categories),
        "matcher": result.run.config.matcher,
        "pictures": urls,
        "items": items,
    }


def _likelihoods(scores: Mapping[str, Mapping[str, float]]) -> str:
    return "log-likelihood of letters: " + ", ".join(f"{k} {v:.2f}" for k, v in scores["letter"].items())
