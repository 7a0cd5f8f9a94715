"""Scoring needs no model library: importing it loads none, and the probe that says so can fail."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ["torch", "transformers", "numpy", "scipy", "pandas", "peft", "rich"]


def loaded_by(statement: str) -> list[str]:
    probe = f"import sys; {statement}; print(*[m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True, timeout=60)
    return done.stdout.split()


@pytest.mark.parametrize("module", ["parrot_adapters.evaluation", "parrot_adapters.cli.score"])
def test_importing_is_light(module: str) -> None:
    assert loaded_by(f"import {module}") == []


def test_the_probe_bites() -> None:
    assert loaded_by("import parrot_adapters.statistics") == ["numpy"]
