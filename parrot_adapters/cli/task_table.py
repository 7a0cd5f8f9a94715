"""The terminal table of a run of naming or retrieval."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.text import Text

    from parrot_adapters.console import Table
    from parrot_adapters.evaluation.scores.result import Measure, Result
    from parrot_adapters.statistics import Interval

__all__ = ["task_table"]


def task_table(result: Result) -> Table:
    """Every measure in percent, by language and in the mean."""
    from rich.text import Text

    from parrot_adapters.console import Table

    measures = result.measures
    guessed = any(found.chance is not None for measure in measures.values() for found in measure.subsets.values())
    rows: list[Sequence[str | Text] | None] = [
        (name, str(len(score.hits)), *(_cell(measure.subsets[name]) for measure in measures.values()))
        for name, score in result.subsets.items()
    ]
    rows += [None, ("mean", "", *(_cell(measure.language_macro) for measure in measures.values()))]
    if guessed:
        rows.append((Text("chance", "dim"), "", *(Text(_chance(measure), "dim") for measure in measures.values())))
    return Table(
        ("subset", "units", *(title.replace(" to ", "\nto ").replace(" R@", "\nR@") for title in measures)),
        rows,
        title=f"{result.benchmark}, {result.task}, in %",
        caption="Ranges: 95 %, over questions." + (" chance: what guessing would score." if guessed else ""),
    )


def _cell(interval: Interval) -> Text:
    from rich.text import Text

    return Text.assemble(
        f"{100 * interval.estimate:.1f} ", (f"{100 * interval.low:2.0f}-{100 * interval.high:.0f}", "dim")
    )


def _chance(measure: Measure) -> str:
    values = [found.chance for found in measure.subsets.values() if found.chance is not None]
    return f"{100 * sum(values) / len(values):.1f}" if values else ""
