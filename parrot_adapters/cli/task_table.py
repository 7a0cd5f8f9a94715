"""The terminal table of a run of naming or retrieval."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.text import Text

    from parrot_adapters.console import Table
    from parrot_adapters.evaluation.scores.intervals_and_tests import Interval
    from parrot_adapters.evaluation.scores.open_results import Measure, TaskResult

__all__ = ["task_table"]


def task_table(result: TaskResult) -> Table:
    """Every measure in percent, by language and in the mean."""
    from rich.text import Text

    from parrot_adapters.console import Table

    config, measures = result.run.config, result.measures
    counts = {name: sum(item.question.subset == name for item in result.items) for name in result.subsets}
    guessed = any(measure.chance for measure in measures)
    rows: list[Sequence[str | Text] | None] = [
        (name, str(count), *(_cell(measure.intervals[name]) for measure in measures)) for name, count in counts.items()
    ]
    rows += [None, ("mean", "", *(_cell(measure.macro) for measure in measures))]
    if guessed:
        rows.append((Text("chance", "dim"), "", *(Text(_chance(measure), "dim") for measure in measures)))
    return Table(
        ("subset", "units", *(m.name.replace(" to ", "\nto ").replace(" R@", "\nR@") for m in measures)),
        rows,
        title=f"{config.benchmark}, {config.task}, in %",
        caption="Ranges: 95 %, questions resampled." + (" chance: what guessing would score." if guessed else ""),
    )


def _cell(interval: Interval) -> Text:
    from rich.text import Text

    return Text.assemble(
        f"{100 * interval.estimate:.1f} ", (f"{100 * interval.low:2.0f}-{100 * interval.high:.0f}", "dim")
    )


def _chance(measure: Measure) -> str:
    values = measure.chance.values()
    return f"{100 * sum(values) / len(values):.1f}" if values else ""
