"""The recipe's tests share one cache and one tiny run, and never write into a home directory."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

pytest.importorskip("emoji", reason="the quickstart's packages are not installed")
pytest.importorskip("efficientnet_lite_pytorch", reason="the quickstart's packages are not installed")


@pytest.fixture(scope="session", autouse=True)
def recipe_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache directory of this session's own, and one thread: the tests measure nothing."""
    directory = tmp_path_factory.mktemp("cache")
    patch = pytest.MonkeyPatch()
    patch.setenv("PARROT_CACHE", str(directory))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield directory
    torch.set_num_threads(threads)
    patch.undo()
