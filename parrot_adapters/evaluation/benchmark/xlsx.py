"""The first sheet of an xlsx workbook as rows, with the standard library: a workbook is XML in a zip archive."""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from parrot_adapters.errors import explain
from parrot_adapters.evaluation.benchmark.cell_values import NOT_A_VALUE, Value
from parrot_adapters.evaluation.benchmark.data_error import EvaluationDataError
from parrot_adapters.evaluation.benchmark.tsv import column_values

__all__ = ["read_xlsx"]

MAIN = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
RELATION = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"
PACKAGE = "{http://schemas.openxmlformats.org/package/2006/relationships}"


LARGEST_PART = 64 * 2**20
"""A part of a workbook may unpack to so many bytes; a benchmark's replies take a few million."""
FAULTS = (
    *(zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError),  # RuntimeError: encrypted
    *(LookupError, ElementTree.ParseError, ValueError, TypeError, RecursionError),
)


def read_xlsx(path: str | Path) -> list[dict[str, Value]]:
    """Rows by the names in the first one; cells that read as no value are None, as in the harness.

    Raises:
        EvaluationDataError: the file is not a workbook that we can read.
    """
    try:
        with zipfile.ZipFile(path) as book:
            _check_sizes(book)
            shared = _shared_strings(book)
            lines = list(_lines(ElementTree.fromstring(book.read(_first_sheet(book))), shared))
    except FAULTS as error:
        raise EvaluationDataError(
            explain(
                "the workbook cannot be read.",
                file=path,
                because=repr(error),
                to_do="save it as xlsx, or as JSON lines",
            )
        ) from None
    if not lines:
        return []
    header = {column: str(name) for column, name in lines[0].items() if name is not None}
    columns = {name: _as_one([line.get(column) for line in lines[1:]]) for column, name in header.items()}
    return [{name: values[row] for name, values in columns.items()} for row in range(len(lines) - 1)]


def _check_sizes(book: zipfile.ZipFile) -> None:
    """By what the archive declares, which is also all that is unpacked of it."""
    for part in book.infolist():
        if part.file_size > LARGEST_PART:
            raise ValueError(f"{part.filename} unpacks to {part.file_size:,} bytes; the limit is {LARGEST_PART:,}")


def _as_one(cells: list[Value]) -> list[Value]:
    """A column in which every cell reads as a number is one of numbers, as in a text file: "1.50" beside 2 is 1.5."""
    if any(isinstance(cell, bool) for cell in cells):
        return cells
    return column_values(["" if cell is None else str(cell) for cell in cells])


def _first_sheet(book: zipfile.ZipFile) -> str:
    workbook = ElementTree.fromstring(book.read("xl/workbook.xml"))
    first, *_ = workbook.iter(f"{MAIN}sheet")
    wanted = first.attrib[RELATION]
    relations = ElementTree.fromstring(book.read("xl/_rels/workbook.xml.rels"))
    (target,) = (r.attrib["Target"] for r in relations.iter(f"{PACKAGE}Relationship") if r.attrib["Id"] == wanted)
    return target.lstrip("/") if target.startswith("/") else f"xl/{target}"


def _shared_strings(book: zipfile.ZipFile) -> list[str]:
    if "xl/sharedStrings.xml" not in book.namelist():
        return []
    table = ElementTree.fromstring(book.read("xl/sharedStrings.xml"))
    # "_x005F_" is an underscore that would otherwise begin an escape; other escapes stay, as in the harness's reader.
    return [_text(item).replace("x005F_", "") for item in table.iter(f"{MAIN}si")]


def _lines(sheet: ElementTree.Element, shared: list[str]) -> Iterator[dict[int, Value]]:
    for row in sheet.iter(f"{MAIN}row"):
        cells = {_column(cell.attrib["r"]): _value(cell, shared) for cell in row.iter(f"{MAIN}c") if "r" in cell.attrib}
        if any(value is not None for value in cells.values()):
            yield cells


def _column(reference: str) -> int:
    """``"AB12"`` is column 28."""
    number = 0
    for letter in re.match("[A-Z]+", reference)[0]:  # type: ignore[index]
        number = number * 26 + ord(letter) - ord("A") + 1
    return number


def _value(cell: ElementTree.Element, shared: list[str]) -> Value:
    kind, held = cell.get("t", "n"), cell.find(f"{MAIN}v")
    if kind == "inlineStr":
        text = _text(cell)
    elif held is None or held.text is None:
        return None
    elif kind == "s":
        text = shared[int(held.text)]
    elif kind == "n":
        number = float(held.text)
        return int(number) if number.is_integer() else number
    elif kind == "b":
        return held.text == "1"
    elif kind == "e":
        return None
    else:
        text = held.text
    return None if text in NOT_A_VALUE else text


def _text(element: ElementTree.Element) -> str:
    """The text of a cell, its styled runs joined, phonetic guides left out."""
    runs = [t.text or "" for run in element.findall(f"{MAIN}r") for t in run.findall(f"{MAIN}t")]
    plain = [t.text or "" for t in element.findall(f"{MAIN}t")]
    return "".join(plain + runs) or "".join(t.text or "" for t in element.iter(f"{MAIN}t"))
