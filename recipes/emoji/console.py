"""What a run shows in the terminal while it runs, and the table at its end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.padding import Padding
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from .languages import CODES

if TYPE_CHECKING:
    from .coverage import Coverage
    from .quickstart import QuickstartResult
    from .scores import Estimate

__all__ = ["Display"]


class Display:
    """Steps, bars and the final table."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console()
        self.started = time.perf_counter()

    def step(self, title: str, style: str = "bold") -> None:
        elapsed = f"{time.perf_counter() - self.started:5.0f} s"
        self.console.print(Text.assemble((elapsed, "dim"), "  ", (title, style)))

    @contextmanager
    def bar(self, title: str) -> Iterator[Callable[[int, int], None]]:
        """One bar; yields ``advance(done, total)``."""
        with self._progress() as progress:
            task = progress.add_task(title, total=None)
            yield lambda done, total: progress.update(task, completed=done, total=total)

    @contextmanager
    def arms(self, arms: Sequence[tuple[str, str]]) -> Iterator[Callable[[str, str, int, int], None]]:
        """A bar for each arm (key, title); yields ``progress(key, what, done, total)``."""
        with self._progress() as progress:
            titles = dict(arms)
            tasks = {key: progress.add_task(f"{title}: waiting", total=None, start=False) for key, title in arms}

            def update(key: str, what: str, done: int, total: int) -> None:
                progress.start_task(tasks[key])
                progress.update(tasks[key], description=f"{titles[key]}: {what}", completed=done, total=total)
                if what == "done":  # stays visible, in a log file too
                    progress.update(tasks[key], visible=False)
                    self.step(f"  {titles[key]}: done", style="")

            yield update

    def languages(self, found: Sequence[Coverage]) -> None:
        """What the vocabulary makes of each language."""
        table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
        for heading in ("language", "", "tokens\na name", "unknown\n%", "names told\napart, %"):
            table.add_column(heading, justify="left" if heading in ("language", "") else "right", no_wrap=True)
        for one in found:
            described = [one.language.code, one.language.name + ("" if one.trained else " [dim](never trained)[/dim]")]
            table.add_row(*described, f"{one.tokens:.1f}", f"{100 * one.unknown:.0f}", f"{100 * one.distinct:.0f}")
        self.console.print(table)

    def summary(self, result: QuickstartResult) -> None:
        """The table of results, what they say, and where everything is."""
        from .arms import adapter_directories
        from .attribution import CREDITS
        from .conclusion import conclusions
        from .scores import SPLITS

        for split in SPLITS:
            self.console.print(self._table(result, split))
        for sentence in conclusions(result.arms):
            self.console.print(Padding(f"• {sentence}", (0, 0, 0, 2)), highlight=False)
        for check in result.checks.values():
            self.console.print(Padding(f"[green]✓[/green] {check}", (0, 0, 0, 2)), highlight=False)
        credits = "; ".join(f"{credit.what.split(',')[0]} ({credit.licence})" for credit in CREDITS)
        self.console.print(f"[dim]Built on {credits}.[/dim]")
        out = result.out
        lines = [("report", "report.html"), ("numbers", "results.json"), ("answers", "answers.jsonl"), ("host", "host")]
        lines += [(f"adapter, {key}", path.name) for key, path in adapter_directories(result.config, out).items()]
        lines += [("benchmark files", "benchmark")]
        for what, name in lines:
            self.console.print(f"  {what:<17} [bold]{out / name}[/bold]", highlight=False, soft_wrap=True)
        for command in _next_commands(result):
            self.console.print(f"  [dim]$[/dim] {command}", highlight=False, soft_wrap=True)

    def _table(self, result: QuickstartResult, split: str) -> Table:
        from .scores import mean_of_others, per_language

        count = len({answer.concept for answer in result.arms[0].answers if answer.split == split})
        table = Table(
            title=f"{'Seen' if split == 'seen' else 'Held-out'} concepts, new art: {count} pictures, six languages",
            caption="Per cent. Choice of four: chance 25. Others: mean of zh pt ar tr ru and its 95% interval.",
            title_justify="left",
            caption_justify="left",
            box=SIMPLE_HEAD,
            padding=(0, 1, 0, 0),
            pad_edge=False,
        )
        table.add_column("\narm", no_wrap=True)
        for column in ("choice\nen", "choice\nothers", "naming\nen", "naming\nothers", "asked\nlang.", "in\nEnglish"):
            table.add_column(column, justify="right", no_wrap=True)
        english = CODES[0]
        for arm in result.arms:
            table.add_row(
                arm.title,
                _percent(per_language(arm.answers, "choice", split)[english]),
                _interval(mean_of_others(arm.answers, "choice", split)),
                _percent(per_language(arm.answers, "naming", split)[english]),
                _interval(mean_of_others(arm.answers, "naming", split)),
                _percent(mean_of_others(arm.answers, "in_language", split)),
                _percent(mean_of_others(arm.answers, "in_english", split)),
            )
        return table

    def _progress(self) -> Progress:
        return Progress(
            TextColumn("         {task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,  # a log file wants no bars
        )


def _next_commands(result: QuickstartResult) -> list[str]:
    """What to try on the host and its first adapter."""
    if not result.config.saved:
        return []
    out = result.out
    subject = f"--model {out / 'host'} --adapter {out / 'adapter'}"
    asked = f"{subject} --benchmark emoji --data {out / 'benchmark'} --prompt-style question"
    scored = "--protocol vlmevalkit-2026 --scoring loglik --option-score text-per-token"
    return [
        f"parrot evaluate {asked} {scored} --out {out / 'evaluation'}",
        f"parrot diagnose {asked}",
        f"parrot check host:{out / 'host'}",
    ]


def _percent(estimate: Estimate) -> str:
    return f"{100 * estimate.value:.0f}"


def _interval(estimate: Estimate) -> str:
    return f"{100 * estimate.value:.0f} [dim]{100 * estimate.low:2.0f}–{100 * estimate.high:.0f}[/dim]"
