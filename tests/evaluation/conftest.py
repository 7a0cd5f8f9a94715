"""A small benchmark file, changed by each test to taste."""

from __future__ import annotations

import base64
import csv
import json
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from xml.sax.saxutils import escape

import pytest

from parrot_adapters.evaluation.matching import known_languages

PICTURE = base64.b64encode(b"\x89PNG" + b"not really a picture, but long enough to be one" * 2).decode()
Write = Callable[..., Path]


@pytest.fixture
def write_tsv(tmp_path: Path) -> Write:
    """Write rows (dicts; absent cells are empty) to ``data/<name>.tsv`` and return its path."""

    def write(rows: list[dict], name: str = "MMMB_en") -> Path:
        folder = tmp_path / "data"
        folder.mkdir(exist_ok=True)
        columns = list(dict.fromkeys(column for row in rows for column in row))
        path = folder / f"{name}.tsv"
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, columns, delimiter="\t", lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
        return path

    return write


@pytest.fixture
def write_jsonl(tmp_path: Path) -> Write:
    """Write ``(lang, index, prediction)`` triples as JSON lines and return the path."""

    def write(rows: list[tuple], name: str = "predictions.jsonl") -> Path:
        path = tmp_path / name
        keys = ("lang", "index", "prediction")
        path.write_text("".join(json.dumps(dict(zip(keys, row, strict=True))) + "\n" for row in rows), "utf-8")
        return path

    return write


@pytest.fixture
def row() -> Callable[..., dict]:
    """One question, its cells overridden by keyword."""

    def make(index: int = 1, **cells: object) -> dict:
        base = {"index": index, "question": "Which?", "A": "red", "B": "blue", "answer": "A", "image": PICTURE}
        return base | {name.replace("l2_", "l2-"): value for name, value in cells.items()}

    return make


@pytest.fixture
def write_workbook(tmp_path: Path) -> Write:
    """Write a table as a spreadsheet does, numbers as numbers and text in place, and return its path."""

    def write(name: str, table: Sequence[Sequence[object]]) -> Path:
        path = tmp_path / name

        def cell(reference: str, value: object) -> str:
            if isinstance(value, (int, float)):
                return f'<c r="{reference}"><v>{value}</v></c>'
            return f'<c r="{reference}" t="inlineStr"><is><t>{escape(str(value))}</t></is></c>'

        main_name = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
        relations = "http://schemas.openxmlformats.org/package/2006/relationships"
        sheet = "".join(
            f'<row r="{i}">'
            + "".join(cell(f"{chr(65 + j)}{i}", v) for j, v in enumerate(line) if v is not None)
            + "</row>"
            for i, line in enumerate(table, start=1)
        )
        with zipfile.ZipFile(path, "w") as book:
            book.writestr(
                "xl/workbook.xml",
                f'<workbook xmlns="{main_name}" xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships">'
                '<sheets><sheet name="Sheet1" sheetId="1" r:id="rId1"/></sheets></workbook>',
            )
            book.writestr(
                "xl/_rels/workbook.xml.rels",
                f'<Relationships xmlns="{relations}"><Relationship Id="rId1" Type="x" Target="worksheets/sheet1.xml"/>'
                "</Relationships>",
            )
            book.writestr(
                "xl/worksheets/sheet1.xml", f'<worksheet xmlns="{main_name}"><sheetData>{sheet}</sheetData></worksheet>'
            )
        return path

    return write


@pytest.fixture
def own_languages(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test teaches the robust matcher is forgotten after it."""
    monkeypatch.setattr(known_languages, "_ADDED", [])
