"""A host and adapters for it, for commands on adapters."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.adapters import save_random_adapter, tiny_host


@pytest.fixture
def host() -> Any:
    return tiny_host()


@pytest.fixture
def save_adapter(host: Any, tmp_path: Path) -> Callable[..., Path]:
    """``save_adapter(**settings)``: a directory with an adapter whose weights are all random."""
    return functools.partial(save_random_adapter, host, tmp_path / "source")
