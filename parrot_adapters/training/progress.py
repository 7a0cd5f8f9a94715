"""A live line on the terminal: steps, loss, tokens per second, time left."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

__all__ = ["Progress", "live_progress"]

Progress = Callable[[int, int, Mapping[str, Any]], None]


@contextmanager
def live_progress(wanted: bool) -> Iterator[Progress | None]:
    """Show the run on standard error while the block runs: a bar, or a line now and then where that is no terminal.

    Yields:
        what to call with step, steps and what was logged; None if nothing is wanted.
    """
    if not wanted:
        yield None
        return
    from parrot_adapters.console import progress

    with progress("training") as shown:
        known: dict[str, Any] = {}

        def show(step: int, steps: int, values: Mapping[str, Any]) -> None:
            known.update(values)
            shown(step, steps, beside=_in_words(known))

        yield show


def _in_words(values: Mapping[str, Any]) -> str:
    parts = [f"loss {values['loss']:.4g}"] if "loss" in values else []
    if "tokens_per_second" in values:
        parts.append(f"{values['tokens_per_second']:,.0f} tokens/s")
    return "  ".join(parts)
