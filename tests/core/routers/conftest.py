"""``batch`` and ``align`` as fixtures: test folders are no packages."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

_spec = importlib.util.spec_from_file_location("router_batches", Path(__file__).with_name("batches.py"))
_batches = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_batches)


@pytest.fixture(scope="session")
def batch():
    return _batches.batch


@pytest.fixture(scope="session")
def align():
    return _batches.align
