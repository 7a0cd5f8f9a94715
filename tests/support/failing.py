"""A failure at any line of the library that an operation runs, to see what it leaves behind."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import CodeType
from typing import Any

import parrot_adapters

LIBRARY = Path(parrot_adapters.__file__).parent

Place = tuple[CodeType, int]


class Injected(BaseException):
    """A failure that only tests raise, and that nothing catches by its kind; a key pressed to interrupt is another."""


def lines_run(operation: Callable[[], Any], rooms: Iterable[str]) -> list[Place]:
    """Every line of some packages of the library that an operation runs, in the order of their first time.

    The line of a ``def`` is none of them.
    """
    found: dict[Place, None] = {}
    folders = tuple(f"{LIBRARY / room}{os.sep}" for room in rooms)

    def in_function(frame: Any, event: str, argument: Any) -> Any:
        if event == "line" and frame.f_lineno != frame.f_code.co_firstlineno:
            found[frame.f_code, frame.f_lineno] = None
        return in_function

    def at_call(frame: Any, event: str, argument: Any) -> Any:
        return in_function if frame.f_code.co_filename.startswith(folders) else None

    with traced(at_call):
        operation()
    return list(found)


@contextmanager
def failing_at(code: CodeType, line: int) -> Iterator[list[int]]:
    """Raise :class:`Injected` where a function is about to run a line, the first time; the list says whether it was."""
    reached: list[int] = []

    def in_function(frame: Any, event: str, argument: Any) -> Any:
        if event == "line" and frame.f_lineno == line and not reached:
            reached.append(line)
            raise Injected(f"{code.co_filename}:{line}")
        return in_function

    with traced(lambda frame, event, argument: in_function if frame.f_code is code else None):
        yield reached


@contextmanager
def traced(trace: Callable[[Any, str, Any], Any]) -> Iterator[None]:
    """Run the block under a trace function, and give back the one that was there."""
    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(before)


def spread(places: Sequence[Place], count: int) -> list[Place]:
    """So many of them, evenly spread from beginning to end."""
    return [places[number * len(places) // count] for number in range(min(count, len(places)))]
