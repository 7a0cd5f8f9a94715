"""A small benchmark file, changed by each test to taste."""

from __future__ import annotations

import base64
import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest

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
