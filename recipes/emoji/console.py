"""What a run shows in the terminal while it runs, and the table at its end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from parrot_adapters.console import Table, progress

from .languages import CODES

if TYPE_CHECKING:
    from .coverage import Coverage
    from .quickstart import QuickstartResult
    from .scores import Estimate

__all__ = ["Display", "interval"]


class Display:
    """Steps, bars and the final table."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console()
        self.started = time.perf_counter()

    def step(self, title: str, style: str = "bold") -> None:
        elapsed = f"{time.perf_counter() - self.started:5.0f} s"
        self.console.print(Text.assemble((elapsed, "dim"), "  ", (title, style)))

    def say(self, *parts: str | tuple[str, str]) -> None:
        """A line as it is, its parts plain or with a style; not broken, so that paths can be copied."""
        self.console.print(Text.assemble(*parts), soft_wrap=True)

    @contextmanager
    def bar(self, title: str) -> Iterator[Callable[[int, int], None]]:
        """One bar; yields ``advance(done, total)``."""
        with progress(f"         {title}", console=self.console) as shown:
            yield shown

    @contextmanager
    def arms(self, arms: Sequence[tuple[str, str]]) -> Iterator[Callable[[str, str, int, int], None]]:
        """A bar for each arm (key, title); yields ``progress(key, what, done, total)``."""
        titles = dict(arms)
        with progress("", console=self.console) as shown:

            def update(key: str, what: str, done: int, total: int) -> None:
                if what == "done":  # stays visible, in a log file too
                    shown.end(key)
                    self.step(f"  {titles[key]}: done", style="")
                else:
                    shown(done, total, name=key, what=f"         {titles[key]}: {what}")

            yield update

    def languages(self, found: Sequence[Coverage]) -> None:
        """What the vocabulary makes of each language."""
        rows = [
            (
                one.language.code,
                one.language.name + ("" if one.trained else " (never trained)"),
                f"{one.tokens:.1f}",
                f"{100 * one.unknown:.0f}",
                f"{100 * one.distinct:.0f}",
            )
            for one in found
        ]
        headings = ("language", "name", "tokens\na name", "unknown\n%", "names told\napart, %")
        self.console.print(Table(headings, rows, text=("name",)))

    def summary(self, result: QuickstartResult) -> None:
        """The table of results, what they say, and where everything is."""
        from .arms import adapter_directories
        from .attribution import CREDITS
        from .conclusion import conclusions
        from .scores import SPLITS

        for split in SPLITS:
            self.console.print(_table(result, split))
        for sentence in conclusions(result.arms):
            self.console.print(Padding(f"• {sentence}", (0, 0, 0, 2)), highlight=False)
        for check in result.checks.values():
            self.console.print(Padding(f"[green]✓[/green] {check}", (0, 0, 0, 2)), highlight=False)
        credits = "; ".join(f"{credit.what.split(',')[0]} ({credit.licence})" for credit in CREDITS)
        self.console.print(Text(f"Built on {credits}.", "dim"))
        out = result.out
        lines = [("report", "report.html"), ("numbers", "results.json"), ("answers", "answers.jsonl"), ("host", "host")]
        lines += [(f"adapter, {key}", path.name) for key, path in adapter_directories(result.config, out).items()]
        lines += [("benchmark files", "benchmark")]
        for what, name in lines:
            self.say(f"  {what:<17} ", (str(out / name), "bold"))
        for command in _next_commands(result):
            self.say("  ", ("$", "dim"), f" {command}")


def _table(result: QuickstartResult, split: str) -> Table:
    from .scores import mean_of_others, per_language

    count = len({answer.concept for answer in result.arms[0].answers if answer.split == split})
    english = CODES[0]
    rows = [
        (
            arm.title,
            _percent(per_language(arm.answers, "choice", split)[english]),
            interval(mean_of_others(arm.answers, "choice", split)),
            _percent(per_language(arm.answers, "naming", split)[english]),
            interval(mean_of_others(arm.answers, "naming", split)),
            _percent(mean_of_others(arm.answers, "in_language", split)),
            _percent(mean_of_others(arm.answers, "in_english", split)),
        )
        for arm in result.arms
    ]
    return Table(
        ("\narm", "choice\nen", "choice\nothers", "naming\nen", "naming\nothers", "asked\nlang.", "in\nEnglish"),
        rows,
        title=f"{'Seen' if split == 'seen' else 'Held-out'} concepts, new art: {count} pictures, six languages",
        caption="Per cent. Choice of four: chance 25. Others: mean of zh pt ar tr ru and its 95% interval.",
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


def interval(value: Estimate, sign: str = "") -> Text:
    """An estimate in per cent, and its range."""
    shown = f"{100 * value.value:{sign}.0f} "
    return Text.assemble(shown, (f"{100 * value.low:{sign}2.0f}–{100 * value.high:{sign}.0f}", "dim"))
