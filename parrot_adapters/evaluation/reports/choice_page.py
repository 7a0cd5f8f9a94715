"""``report.html``: one page that shows a run, its numbers and every question of it, with nothing outside itself."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from parrot_adapters.atomic_files import write_bytes, write_text
from parrot_adapters.errors import ConfigError, MissingDependencyError, ParrotWarning, writing
from parrot_adapters.evaluation.answers.evaluate import Evaluation
from parrot_adapters.evaluation.benchmark.protocols import protocol_named
from parrot_adapters.evaluation.benchmark.published import published_scores
from parrot_adapters.evaluation.benchmark.rows import PASS
from parrot_adapters.evaluation.matching.extract_choice import ROBUST
from parrot_adapters.evaluation.reports.figures import run_figures
from parrot_adapters.evaluation.scores.choice_result import REFERENCE
from parrot_adapters.evaluation.scores.result import Result
from parrot_adapters.pages import direction, flat, render_page, thumbnail
from parrot_adapters.statistics import Interval, clustered_interval

__all__ = ["write_report"]

RESAMPLES = 1000
"""For the intervals of one category in one language."""


def write_report(result: Result, run: Evaluation, out: str | Path) -> None:
    """Write ``report.html``, and its figures as PNG files beside it where matplotlib is installed.

    Args:
        result: Scores of the run.
        run: The answered questions.
        out: Directory of the run.
    """
    assert result.statistics is not None
    bias = result.statistics.position_bias
    page = render_page(
        __package__,
        "choice.html",
        config=run.config,
        result=result,
        origin=flat(result.origin()),
        protocol=protocol_named(result.protocol),
        languages={subset.name: language for language, subset in run.subsets.items()},
        names=list(result.subsets),
        analysis=result.statistics,
        categories=_categories(result, run),
        confusion=_confusion(result),
        letters=sorted({letter for found in bias.values() for letter in found.chosen}),
        published=_published(run),
        ours=list(result.matchers[REFERENCE].overall.values()),
        data=_items(result, run),
    )
    with writing(out, ConfigError):
        write_text(Path(out) / "report.html", page)
    try:
        figures = run_figures(result)
    except MissingDependencyError:
        message = "matplotlib is not installed, so the figures are in report.html only, not in PNG files"
        warnings.warn(message, ParrotWarning, stacklevel=2)
        return
    for name, data in figures.items():
        write_bytes(Path(out) / f"{name}.png", data)


def _categories(result: Result, run: Evaluation) -> list[dict[str, Any]]:
    """Accuracy with interval by category and subset, for units by their base row."""
    found: dict[str, dict[str, Interval]] = {}
    for subset in run.subsets.values():
        labels = {row.index: row.label("category") for row in subset.rows}
        groups: dict[str, list[tuple[int, int]]] = {}
        for unit, hit in result.subsets[subset.name].hits.items():
            groups.setdefault(labels[unit] or "-", []).append((hit, unit % PASS))
        for category, pairs in groups.items():
            hits, questions = zip(*pairs, strict=True)
            interval = clustered_interval(hits, questions, resamples=RESAMPLES)
            found.setdefault(category, {})[subset.name] = interval
    return [{"name": category, "cells": found[category]} for category in sorted(found)]


def _confusion(result: Result) -> dict[str, dict[str, Any]]:
    tables = {}
    for name, table in result.confusion.items():
        chosen = sorted({letter for counts in table.values() for letter in counts} | set(table), key=_letter_order)
        largest = max(count for counts in table.values() for count in counts.values())
        tables[name] = {"chosen": chosen, "rows": table, "largest": largest}
    return tables


def _letter_order(letter: str) -> tuple[bool, str]:
    return letter == "-", letter


def _published(run: Evaluation) -> list[dict[str, Any]]:
    """Published rows, those of our protocol first."""
    config, codes = run.config, list(run.subsets)
    rows = [
        {"row": row, "same": row.protocol == config.protocol, "cells": [row.scores.get(code) for code in codes]}
        for row in published_scores(config.benchmark)
    ]
    return sorted(rows, key=lambda entry: (not entry["same"], -entry["row"].mean))


def _items(result: Result, run: Evaluation) -> dict[str, Any]:
    """What the browser of questions shows; texts stand once, pictures are small and stand once."""
    pictures: dict[str, int] = {}
    urls: list[str] = []
    names = [subset.name for subset in run.subsets.values()]
    choices = {matcher: result.matchers[matcher].choices for matcher in (REFERENCE, ROBUST)}
    categories: dict[str, int] = {}
    items = []
    for question, answer in zip(run.questions, run.answers, strict=True):
        shown = []
        for text, digest in zip(question.pictures(), question.picture_hashes, strict=True):
            if digest not in pictures:
                pictures[digest] = len(urls)
                urls.append(thumbnail(text))
            shown.append(pictures[digest])
        category = question.row.label("category") or "-"
        reference = choices[REFERENCE][question.subset].get(question.index)
        robust = choices[ROBUST][question.subset].get(question.index)
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
    return {
        "subsets": [
            {"name": name, "lang": code, "dir": direction(code)} for name, code in zip(names, run.subsets, strict=True)
        ],
        "categories": list(categories),
        "matcher": result.matcher,
        "pictures": urls,
        "items": items,
    }


def _likelihoods(scores: Mapping[str, Mapping[str, float]]) -> str:
    return "log-likelihood of letters: " + ", ".join(f"{k} {v:.2f}" for k, v in scores["letter"].items())
