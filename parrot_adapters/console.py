"""What every command shows: tables that fit, progress that also reads well in a log file, notes, JSON documents.

Results go to standard output; what is said on the way to them goes to standard error.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING, Any, Literal

from parrot_adapters.errors import ConfigError, writing

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID
    from rich.table import Table as RichTable

__all__ = ["Progress", "Table", "note", "print_json", "print_or_write_json", "progress", "show", "waiting"]

FIRST_LINE, BETWEEN_LINES = 2.0, 10.0  # seconds, where no bar can be drawn; later lines come ever more seldom
NARROWEST_TEXT = 12  # columns of the terminal that a column of running text keeps


def show(*parts: RenderableType) -> None:
    """Print tables and plain text on standard output; text is neither styled nor broken into lines.

    Args:
        parts: Tables and strings, in order.
    """
    from rich.console import Console

    console = Console()
    with console.capture() as captured:  # rich itself would end the process where a reader has closed the pipe
        for part in parts:
            console.print(part, highlight=False, markup=False, soft_wrap=isinstance(part, str))
    print(captured.get(), end="")


def print_json(document: Any) -> None:
    """Print a document as JSON on standard output, and nothing else: what ``--json`` means in every command.

    Args:
        document: Value that JSON can hold.
    """
    as_they_are = (getattr(sys.stdout, "encoding", None) or "utf-8").lower().replace("-", "") == "utf8"
    print(json.dumps(document, indent=2, ensure_ascii=not as_they_are))


def print_or_write_json(document: Any, file: str | None) -> None:
    """Do as ``--json [FILE]`` says: print the document alone, or write it and say where; nothing for None.

    Args:
        document: Value that JSON can hold.
        file: File to write; ``"-"`` is standard output.
    """
    if file == "-":
        print_json(document)
    elif file is not None:
        from parrot_adapters.atomic_files import write_text

        with writing(file, ConfigError):
            write_text(file, json.dumps(document, indent=2, ensure_ascii=False) + "\n")
        print(f"written: {file}")


def note(command: str, text: object) -> None:
    """Say something beside the result, on standard error.

    Args:
        command: Name of the command that says it, for example ``"parrot train"``.
        text: What is said.
    """
    print(f"parrot {command}: note: {text}", file=sys.stderr)


class Table:
    """A table that is never wider than the terminal: what does not fit goes below, under the same first column.

    Args:
        headings: Headings of the columns.
        rows: Rows of cells. A str is shown as it is, without markup; a row of None draws a line.
        title: Line above the table; None (default) for none.
        caption: Line below the table; None (default) for none.
        text: Headings of the columns of running text: to the left and wrapped. Others are numbers, to the right and
            whole; the first column is a name, to the left and whole.
    """

    def __init__(
        self,
        headings: Sequence[str],
        rows: Iterable[Sequence[RenderableType] | None] = (),
        *,
        title: str | None = None,
        caption: str | None = None,
        text: Collection[str] = (),
    ) -> None:
        self.headings, self.rows = list(headings), list(rows)
        self.title, self.caption, self.text = title, caption, text

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        from rich.text import Text

        if self.title:
            yield Text(self.title, "bold")
        for columns in self._blocks(options.max_width):
            yield self._part(columns)
        if self.caption:
            yield Text(self.caption, "dim")

    def _blocks(self, width: int) -> list[list[int]]:
        """Columns that fit beside each other, the first one always among them."""
        widths = [self._width(column) + 2 for column in range(len(self.headings))]  # and what parts it from the next
        blocks = [[0]]
        for column in range(1, len(widths)):
            if len(blocks[-1]) > 1 and sum(widths[c] for c in blocks[-1]) + widths[column] + 1 > width:
                blocks.append([0])
            blocks[-1].append(column)
        return blocks

    def _width(self, column: int) -> int:
        heading = max(map(len, self.headings[column].split("\n")))
        if self.headings[column] in self.text:
            return max(heading, NARROWEST_TEXT)
        from rich.console import Console
        from rich.measure import Measurement

        console = Console(width=10_000)
        cells = (row[column] for row in self.rows if row is not None and column < len(row))
        return max([heading, *(Measurement.get(console, console.options, _literal(cell)).maximum for cell in cells)])

    def _part(self, columns: Sequence[int]) -> RichTable:
        from rich.box import SIMPLE
        from rich.table import Table

        table = Table(box=SIMPLE, padding=(0, 1, 0, 0))
        for column in columns:
            heading = self.headings[column]
            whole = heading not in self.text
            left = column == 0 or not whole
            table.add_column(
                heading,
                justify="left" if left else "right",
                no_wrap=whole and column > 0,
                overflow="fold",
            )
        for row in self.rows:
            if row is None:
                table.add_section()
            else:
                table.add_row(*(_literal(row[column]) for column in columns if column < len(row)))
        return table


def _literal(cell: RenderableType) -> RenderableType:
    from rich.text import Text

    return Text(cell) if isinstance(cell, str) else cell


class Progress:
    """How far work is; call it as often as you like.

    Args:
        title: What is done, in words, unless a call says so.
        console: Console that it is shown on.
        bars: Bars of rich, where the console is a terminal; None (default) otherwise.
    """

    def __init__(self, title: str, console: Console, bars: RichProgress | None = None) -> None:
        self.title, self.console, self.bars = title, console, bars
        self.tasks: dict[str, TaskID] = {}
        self.begun, self.next = monotonic(), FIRST_LINE

    def __call__(self, done: int, total: int | None, *, name: str = "", what: str = "", beside: str = "") -> None:
        """Show it.

        Args:
            done: how many.
            total: of how many; None if nobody knows.
            name: of the bar, where there are several at once.
            what: words for it, if not the title's.
            beside: other numbers, as text.
        """
        words = what or name or self.title
        if self.bars is None:
            self._line(words, done, total, beside)
            return
        if name not in self.tasks:
            self.tasks[name] = self.bars.add_task(words, total=total, beside=beside)
        self.bars.update(self.tasks[name], description=words, completed=done, total=total, beside=beside)

    def end(self, name: str) -> None:
        """Take a bar away."""
        if self.bars is not None and name in self.tasks:
            self.bars.remove_task(self.tasks.pop(name))

    def _line(self, words: str, done: int, total: int | None, beside: str) -> None:
        passed = monotonic() - self.begun
        if passed < self.next:
            return
        self.next = passed + max(BETWEEN_LINES, passed / 20)
        of = "" if total is None else f" of {total:,}"
        line = "  ".join(filter(None, (f"{words}: {done:,}{of}", beside, f"{passed:.0f} s")))
        self.console.print(line, highlight=False, markup=False, soft_wrap=True)


@contextmanager
def progress(
    title: str, *, unit: Literal["things", "bytes"] = "things", console: Console | None = None
) -> Iterator[Progress]:
    """Show how far work is: bars on a terminal that go when it ends; elsewhere a plain line now and then.

    Args:
        title: What is done, in words.
        unit: Name of what is counted.
        console: Console to show it on; None (default) for standard error.
    """
    from rich import progress as parts
    from rich.console import Console

    console = console or Console(stderr=True)
    if not console.is_terminal:
        yield Progress(title, console)
        return
    columns = (
        parts.TextColumn("{task.description}", markup=False),
        parts.BarColumn(),
        parts.DownloadColumn() if unit == "bytes" else parts.MofNCompleteColumn(),
        parts.TextColumn("{task.fields[beside]}", markup=False),
        parts.TimeElapsedColumn(),
        parts.TimeRemainingColumn(),
    )
    with parts.Progress(*columns, console=console, transient=True) as bars:
        yield Progress(title, console, bars)


@contextmanager
def waiting(title: str) -> Iterator[None]:
    """Say that something is going on which cannot be counted; nothing is said where it is quickly over.

    Args:
        title: What is going on, in words.
    """
    from rich.console import Console

    console = Console(stderr=True)
    if console.is_terminal:
        with console.status(title):
            yield
        return
    line = threading.Timer(FIRST_LINE, lambda: print(f"{title} ...", file=sys.stderr, flush=True))
    line.daemon = True
    line.start()
    try:
        yield
    finally:
        line.cancel()
