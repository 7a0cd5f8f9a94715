"""``report.html`` of an open task: measures by language, and what was said about each picture, all in one file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from parrot_adapters.atomic_files import write_text
from parrot_adapters.errors import ConfigError, writing
from parrot_adapters.evaluation.answers.evaluate import Evaluation
from parrot_adapters.evaluation.scores.result import Result
from parrot_adapters.evaluation.scores.score_open_task import Item
from parrot_adapters.pages import direction, flat, render_page, thumbnail

__all__ = ["write_task_report"]


def write_task_report(result: Result, items: Sequence[Item], run: Evaluation, out: str | Path) -> None:
    """Write ``report.html``.

    Args:
        result: Scores of the run.
        items: The questions, scored one by one.
        run: The answered questions.
        out: Directory of the run.
    """
    measured = [subset for measure in result.measures.values() for subset in measure.subsets.values()]
    page = render_page(
        __package__,
        "open.html",
        config=run.config,
        result=result,
        guessed=any(subset.chance is not None for subset in measured),
        splits=sorted({split for subset in measured for split in subset.splits}),
        origin=flat(result.origin()),
        data=_items(items, main=next(iter(result.measures))),
    )
    with writing(out, ConfigError):
        write_text(Path(out) / "report.html", page)


def _items(items: Sequence[Item], main: str) -> dict[str, Any]:
    """What the browser of questions shows; pictures are small and stand once."""
    pictures: dict[tuple[str, ...], str] = {}
    places: dict[tuple[str, ...], int] = {}
    for item in items:
        digests = item.question.picture_hashes
        if digests not in places:
            places[digests] = len(places)
            pictures[digests] = thumbnail(item.question.pictures()[0]) if digests else ""
    languages = {item.question.subset: item.question.language for item in items}
    return {
        "subsets": [{"name": name, "lang": code, "dir": direction(code)} for name, code in languages.items()],
        "main": main,
        "pictures": list(pictures.values()),
        "items": [_row(item, list(languages), places, main) for item in items],
    }


def _row(item: Item, names: list[str], places: Mapping[tuple[str, ...], int], main: str) -> list[Any]:
    question = item.question
    values = ", ".join(f"{name} {value:.2f}" for name, value in item.values.items())
    place, right = places[question.picture_hashes], item.values[main]
    return [names.index(question.subset), question.index, place, question.prompt, item.name, item.said, values, right]
