"""The terminal table of a run of naming or retrieval."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

    from parrot_adapters.evaluation.scores.result import Measure, Result
    from parrot_adapters.statistics import Interval

__all__ = ["task_table"]


def task_table(result: Result) -> Table:
    """Every measure in percent, by language and in the mean."""
    from rich import box
    from rich.table import Table

    measures = result.measures
    guessed = any(found.chance is not None for measure in measures.values() for found in measure.subsets.values())
    table = Table(
        title=f"{result.benchmark}, {result.task}, in %",
        caption="Ranges: 95 %, over questions." + (" chance: what guessing would score." if guessed else ""),
        box=box.SIMPLE,
        padding=(0, 1, 0, 0),
    )
    table.add_column("subset", no_wrap=True)
    table.add_column("units", justify="right", no_wrap=True)
    for title in measures:
        table.add_column(title.replace(" to ", "\nto ").replace(" R@", "\nR@"), justify="right", no_wrap=True)
    for name, score in result.subsets.items():
        cells = (_cell(measure.subsets[name]) for measure in measures.values())
        table.add_row(name, str(len(score.hits)), *cells)
    table.add_section()
    table.add_row("mean", "", *(_cell(measure.language_macro) for measure in measures.values()))
    if guessed:
        table.add_row("chance", "", *(_chance(measure) for measure in measures.values()), style="dim")
    return table


def _cell(interval: Interval) -> str:
    return f"{100 * interval.estimate:.1f} [dim]{100 * interval.low:2.0f}-{100 * interval.high:.0f}[/dim]"


def _chance(measure: Measure) -> str:
    values = [found.chance for found in measure.subsets.values() if found.chance is not None]
    return f"{100 * sum(values) / len(values):.1f}" if values else ""
