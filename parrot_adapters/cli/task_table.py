"""The terminal table of a run of naming or retrieval."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

    from parrot_adapters.evaluation.scores.intervals_and_tests import Interval
    from parrot_adapters.evaluation.scores.open_results import Measure, TaskResult

__all__ = ["task_table"]


def task_table(result: TaskResult) -> Table:
    """Every measure in percent, by language and in the mean."""
    from rich import box
    from rich.table import Table

    config = result.run.config
    counts = {name: sum(item.question.subset == name for item in result.items) for name in result.subsets}
    guessed = any(measure.chance for measure in result.measures)
    table = Table(
        title=f"{config.benchmark}, {config.task}, in %",
        caption="Ranges: 95 %, questions resampled." + (" chance: what guessing would score." if guessed else ""),
        box=box.SIMPLE,
        padding=(0, 1, 0, 0),
    )
    table.add_column("subset", no_wrap=True)
    table.add_column("units", justify="right", no_wrap=True)
    for measure in result.measures:
        table.add_column(measure.name.replace(" to ", "\nto ").replace(" R@", "\nR@"), justify="right", no_wrap=True)
    for name, count in counts.items():
        table.add_row(name, str(count), *(_cell(measure.intervals[name]) for measure in result.measures))
    table.add_section()
    table.add_row("mean", "", *(_cell(measure.macro) for measure in result.measures))
    if guessed:
        table.add_row("chance", "", *(_chance(measure) for measure in result.measures), style="dim")
    return table


def _cell(interval: Interval) -> str:
    return f"{100 * interval.estimate:.1f} [dim]{100 * interval.low:2.0f}-{100 * interval.high:.0f}[/dim]"


def _chance(measure: Measure) -> str:
    values = measure.chance.values()
    return f"{100 * sum(values) / len(values):.1f}" if values else ""
