"""Whatever characters data has, and whatever a terminal can show: a command says what it found."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from parrot_adapters.atomic_files import write_json
from parrot_adapters.cli import main
from parrot_adapters.data import BadSample, Rejects

HALF = "\ud800"
TURNS = [{"from": "human", "value": "<image>a"}, {"from": "gpt", "value": "b"}]
RECORDS = [
    {"id": f"kırık {HALF}", "image": f"{HALF}.png", "conversations": TURNS},
    {"id": "鸟", "mood": HALF, "conversations": [{"from": "human", "value": HALF}, TURNS[1]]},
]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "a.json").write_text(json.dumps(RECORDS))
    return tmp_path / "a.json"


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "cp1252"])
@pytest.mark.parametrize("more", [[], ["--json"]])
def test_a_command_shows_what_it_can_and_escapes_the_rest(
    data: Path, monkeypatch: pytest.MonkeyPatch, encoding: str, more: list[str]
) -> None:
    screen = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="strict")
    monkeypatch.setattr(sys, "stdout", screen)
    assert main(["data", "check", str(data), *more]) == 1
    screen.flush()
    said = screen.buffer.getvalue().decode(encoding)  # type: ignore[attr-defined]
    assert screen.errors == "strict", "as it was"
    if more:
        found = json.loads(said)["problems"]
        assert {one["identity"] for kind in found.values() for one in kind["examples"]} == {r["id"] for r in RECORDS}
    else:
        assert "\\ud800" in said
        assert ("鸟" in said) == (encoding == "utf-8")


def test_files_hold_it_as_an_escape(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"kırık": HALF})
    assert json.loads((tmp_path / "a.json").read_text("utf-8")) == {"kırık": HALF}
    rejects = Rejects(tmp_path / "rejects.jsonl")
    rejects.add(BadSample("not-utf8", f"half {HALF}"), source=f"{HALF}.json", number=1, identity=HALF)
    assert Rejects(tmp_path / "rejects.jsonl").counts() == {"not-utf8": 1}
