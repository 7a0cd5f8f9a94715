"""An original checkpoint: to spoil, and imported."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from support import adapters
from support.reference_checkpoint import FIXTURE


@pytest.fixture(scope="session")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Host and adapter made from the original checkpoint."""
    from parrot_adapters.original.import_checkpoint import import_reference

    directory = tmp_path_factory.mktemp("imported") / "out"
    import_reference(FIXTURE, directory)
    return directory


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A copy of the original checkpoint that a test may spoil."""
    return Path(shutil.copytree(FIXTURE, tmp_path / "source"))


@pytest.fixture(scope="session")
def kit() -> Any:
    """:mod:`support.adapters`."""
    return adapters
