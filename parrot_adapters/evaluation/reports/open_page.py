"""``report.html`` of an open task: measures by language, and what was said about each picture, all in one file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from parrot_adapters.atomic_files import write_text
from parrot_adapters.evaluation.scores.open_results import Item, TaskResult
from parrot_adapters.pages import direction, flat, render_page, thumbnail

__all__ = ["write_task_report"]


def write_task_report(result: TaskResult, out: str | Path) -> None:
    """Write ``report.html``.

    Args:
        result: the scored run.
        out: the run's directory.
    """
    page = render_page(
        __package__,
        "open.html",
        config=result.run.config,
        names=result.subsets,
        measures=result.measures,
        splits=sorted({split for measure in result.measures for split in measure.splits}),
        counts={name: sum(item.question.subset == name for item in result.items) for name in result.subsets},
        origin=flat(result.provenance()),
        remarks=result.notes,
        data=_items(result),
    )
    write_text(Path(out) / "report.html", page)


def _items(result: TaskResult) -> dict[str, Any]:
    """What the browser of questions shows; pictures are small and stand once."""
    pictures: dict[tuple[str, ...], str] = {}
    places: dict[tuple[str, ...], int] = {}
    for item in result.items:
        digests = item.question.picture_hashes
        if digests not in places:
            places[digests] = len(places)
            pictures[digests] = thumbnail(item.question.pictures()[0]) if digests else ""
    languages = {item.question.subset: item.question.language for item in result.items}
    main = result.measures[0].name
    return {
        "subsets": [{"name": name, "lang": code, "dir": direction(code)} for name, code in languages.items()],
        "main": main,
        "pictures": list(pictures.values()),
        "items": [_row(item, list(languages), places, main) for item in result.items],
    }


def _row(item: Item, names: list[str], places: Mapping[tuple[str, ...], int], main: str) -> list[Any]:
    question = item.question
    values = ", ".join(f"{name} {value:.2f}" for name, value in item.values.items())
    place, right = places[question.picture_hashes], item.values[main]
    return [names.index(question.subset), question.index, place, question.prompt, item.name, item.said, values, right]
