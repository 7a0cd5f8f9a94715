"""A live line on the terminal: steps, loss, tokens per second, time left."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

__all__ = ["Progress", "live_progress"]

Progress = Callable[[int, int, Mapping[str, Any]], None]


@contextmanager
def live_progress(wanted: bool) -> Iterator[Progress | None]:
    """Draw on standard error while the block runs; where that is no terminal, print a line every so often.

    Yields:
        what to call with step, steps and what was logged; None if nothing is wanted.
    """
    if not wanted:
        yield None
        return
    from rich import progress as parts
    from rich.console import Console

    console = Console(stderr=True)
    columns = (
        parts.TextColumn("training"),
        parts.BarColumn(),
        parts.MofNCompleteColumn(),
        parts.TextColumn("{task.fields[seen]}"),
        parts.TimeElapsedColumn(),
        parts.TimeRemainingColumn(),
    )
    with parts.Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("training", total=None, seen="")
        known: dict[str, Any] = {}
        printed = 0

        def show(step: int, steps: int, values: Mapping[str, Any]) -> None:
            nonlocal printed
            known.update(values)
            seen = _in_words(known)
            bar.update(task, completed=step, total=steps, seen=seen)
            if not console.is_terminal and step >= printed + max(steps // 20, 1) and "tokens" in values:
                printed = step
                console.print(f"step {step} of {steps}  {seen}", highlight=False)

        yield show


def _in_words(values: Mapping[str, Any]) -> str:
    parts = [f"loss {values['loss']:.4g}"] if "loss" in values else []
    if "tokens_per_second" in values:
        parts.append(f"{values['tokens_per_second']:,.0f} tokens/s")
    return "  ".join(parts)
