"""The benchmarks run, and the page that is written from their results says which are of other code."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BENCHMARKS = ROOT / "benchmarks"

RESULT = {
    "theme": "bench-experts",
    "settings": {"covers": ["parrot_adapters/core/"]},
    "repeats": 5,
    "threads": 1,
    "device": "cpu",
    "device_name": "a processor",
    "commit": "",
    "date": "2026-01-01",
    "versions": {"torch": "2.13.0", "peft": "-"},
    "rows": [
        {"what": "dense", "against": "plain loop", "ratio": 1.234, "limit": 1.0, "spread": [1.1, 1.3]}
        | {"settings": "D=8", "at_least": False, "holds": False}
    ],
}


@pytest.fixture
def table(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.delitem(sys.modules, "table", raising=False)
    import table

    return table


def test_the_page_says_what_was_missed_and_what_is_old(table, monkeypatch):
    page = table.page(f"before\n{table.START}\nold\n{table.END}\nafter", [RESULT])
    assert "| dense | plain loop | 1.23 | 1.10..1.30 | <= 1 | **missed** |" in page
    assert "a processor, 1 thread(s), 5 rounds; torch 2.13.0; commit `unknown`" in page
    assert "**Old" in page  # nobody knows of what code it is
    assert page.startswith("before")
    assert page.endswith("after")
    monkeypatch.setattr(table, "changed_since", lambda commit, paths: False)
    again = table.page(page, [RESULT])
    assert "**Old" not in again
    assert again.count("### experts, cpu") == 1


def test_a_result_of_other_code_is_known(table):
    from harness import changed_since

    assert changed_since("", ("parrot_adapters/",))
    assert changed_since("abc1234+", ("parrot_adapters/",))
    assert changed_since("0000000", ("parrot_adapters/",))


@pytest.mark.slow
@pytest.mark.parametrize("theme", sorted(path.stem for path in (BENCHMARKS / "rows").glob("*.py")))
def test_every_theme_runs(theme, tmp_path):
    command = [sys.executable, str(BENCHMARKS / "bench.py"), theme, "--tiny", "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / f"bench-{theme}-cpu.json").read_text())
    assert result["settings"]["covers"]
    assert all((ROOT / path).exists() for path in result["settings"]["covers"])
    assert all(row["ratio"] > 0 for row in result["rows"])
