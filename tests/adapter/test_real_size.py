"""Hosts of real dimensions, one or two layers of them: the whole life of an adapter. Its memory and time are printed.

Faults that no miniature shows: parameters of more than 2^24 numbers, vocabularies of hundreds of thousands, gigabytes
of experts.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[1] / "support" / "real_size.py"
MEMORY = 10  # GiB
pytestmark = pytest.mark.slow


def lived(name: str) -> list[dict[str, Any]]:
    """The steps of a life in a process of its own, each with its CPU seconds and the peak of memory so far."""
    made = subprocess.run([sys.executable, str(SCRIPT), name], capture_output=True, text=True, check=False)
    print(made.stdout, made.stderr[-3000:])
    assert made.returncode == 0, made.stderr[-3000:]
    steps = [json.loads(line) for line in made.stdout.splitlines() if line.startswith("{")]
    assert max(one["peak"] for one in steps) < MEMORY
    return steps


@pytest.mark.parametrize("name", ["llava", "qwen", "gemma"])
def test_the_whole_life(name: str) -> None:
    steps = lived(name)
    assert steps[-1]["step"].endswith(": self-test"), "a life has ended early"
    if name == "llava":
        (standard,) = [one for one in steps if one["step"] == "llava: attach the standard adapter"]
        assert (standard["width"], standard["millions"]) == (4096, 302), "what the documents say of it"


def test_a_released_checkpoint_is_imported_within_a_shard() -> None:
    steps = {one["step"]: one for one in lived("import")}
    written = steps["import: write the checkpoint"]
    assert written["gigabytes"] >= 1.4
    assert 0 < steps["import: import"]["above"] <= 1.1 * written["largest_shard"]
