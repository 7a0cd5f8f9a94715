"""A miniature LLaVA with an adapter that does something."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from miniatures import ADAPTER, FAMILIES, awake

import parrot_adapters as pa


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def host() -> Any:
    return FAMILIES["llava"].build()


@pytest.fixture
def handle(host: Any) -> pa.Attachment:
    return awake(pa.attach(host, ADAPTER))
