"""Read a tab-separated table as the field's harness does: pandas' defaults, without pandas.

Two of its habits change scores, so they are kept: a cell spelled like "no value" (``N/A``, ``None``, ...) vanishes,
and a column whose every cell looks like a number, or like a truth value, becomes one ("1.50" is then printed "1.5").
"""

from __future__ import annotations

import csv
import re
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from parrot_adapters.errors import explain
from parrot_adapters.evaluation.benchmark.cell_values import NOT_A_VALUE, Value
from parrot_adapters.evaluation.benchmark.data_error import EvaluationDataError

__all__ = ["Table", "column_values", "read_tsv"]

INTEGER = re.compile(r"[ \t\r\n\f\v]*[+-]?[0-9]+[ \t\r\n\f\v]*", re.ASCII)
DECIMAL = re.compile(
    r"\s*[+-]?([0-9]+\.?[0-9]*([eE][+-]?[0-9]+)?|\.[0-9]+([eE][+-]?[0-9]+)?|inf(inity)?)\s*", re.A | re.I
)
LONGEST_NUMBER = 400
TRUTH = {"True": True, "TRUE": True, "true": True, "False": False, "FALSE": False, "false": False}
FIELD_LIMIT = threading.Lock()


class Table(NamedTuple):
    """Rows of named cells; ``vanished`` are the (row number, column, spelling) of cells that read as no value."""

    columns: list[str]
    rows: list[dict[str, Value]]
    vanished: list[tuple[int, str, str]]


def read_tsv(path: str | Path) -> Table:
    """Read the table at ``path``.

    Raises:
        EvaluationDataError: the file is missing, is not UTF-8, has no header, repeats a column, has a row with more
            cells than columns, or ends inside quotes.
    """
    try:
        records = _records(Path(path))
    except FileNotFoundError:
        raise EvaluationDataError(explain("there is no such file.", file=path)) from None
    except UnicodeDecodeError as error:
        raise EvaluationDataError(
            explain("the file is not UTF-8 text.", file=path, because=error.reason, to_do="save it as UTF-8")
        ) from None
    except csv.Error as error:
        raise EvaluationDataError(explain("the table cannot be read.", file=path, because=error)) from None
    header = records[0] if records else []
    if not header:
        raise EvaluationDataError(explain("the table is empty.", file=path, to_do="give a TSV file with a header line"))
    repeated = sorted(name for name, count in Counter(header).items() if count > 1)
    if repeated:
        raise EvaluationDataError(explain("columns are named twice.", file=path, columns=", ".join(repeated)))
    cells: list[list[str]] = []
    for number, record in enumerate(records[1:], start=1):
        if len(record) > len(header):
            raise EvaluationDataError(
                explain(
                    f"row {number} has {len(record)} cells for {len(header)} columns.",
                    file=path,
                    starts=repr(record[0][:60]),
                    to_do="quote cells that hold a tab, and double the quotes inside them",
                )
            )
        cells.append(record + [""] * (len(header) - len(record)))
    columns = {name: column_values([row[i] for row in cells]) for i, name in enumerate(header)}
    vanished = [
        (number, name, cell)
        for number, row in enumerate(cells)
        for name, cell in zip(header, row, strict=True)
        if cell and cell in NOT_A_VALUE
    ]
    return Table(header, [{name: columns[name][i] for name in header} for i in range(len(cells))], vanished)


def column_values(cells: list[str]) -> list[Value]:
    """The values of one column: numbers or truth values if every cell that has a value looks like one, else text.

    >>> column_values(["1", "2"]), column_values(["1", "NA"]), column_values(["1.50", "x"])
    ([1, 2], [1.0, None], ['1.50', 'x'])
    """
    given = [cell for cell in cells if cell not in NOT_A_VALUE]
    read: Callable[[str], Value] = str
    if given and max(map(len, given)) > LONGEST_NUMBER:
        pass  # no number to anybody; Python refuses to read one of thousands of digits
    elif given and all(map(INTEGER.fullmatch, given)):
        read = _whole_number_reader([int(cell) for cell in given], gaps=len(given) < len(cells))
    elif given and all(map(DECIMAL.fullmatch, given)):
        read = float
    elif given and all(cell in TRUTH for cell in given):
        read = TRUTH.__getitem__
    return [None if cell in NOT_A_VALUE else read(cell) for cell in cells]


def _whole_number_reader(numbers: list[int], *, gaps: bool) -> Callable[[str], Value]:
    """Whole numbers with gaps become decimals; those too large for a 64-bit integer stay text."""
    low, high = min(numbers), max(numbers)
    if low >= -(2**63) and high < 2**63:
        return float if gaps else int
    return int if low >= 0 and high < 2**64 and not gaps else str


def _records(path: Path) -> list[list[str]]:
    """Split a file into records; blank lines are none. The csv module's size limit is global: put it back."""
    ended = False

    def lines() -> Iterator[str]:
        nonlocal ended
        with path.open(encoding="utf-8-sig", newline="") as file:
            yield from file
        ended = True

    found = []
    with FIELD_LIMIT:
        before = csv.field_size_limit(sys.maxsize)
        try:
            for record in csv.reader(lines(), delimiter="\t"):
                if ended:  # the reader asked for one more line: a quote was never closed
                    raise EvaluationDataError(
                        explain(
                            "the file ends inside a quoted cell.",
                            file=path,
                            starts=repr("\t".join(record)[:60]),
                            to_do="close the quote; the file may have been cut short",
                        )
                    )
                if record and (len(record) > 1 or record[0].strip(" ") or not record[0]):
                    found.append(record)
        finally:
            csv.field_size_limit(before)
    return found
