"""A fixed batch for routers."""

from __future__ import annotations

import pytest
from support import router_batches


@pytest.fixture(scope="session")
def batch():
    return router_batches.batch


@pytest.fixture(scope="session")
def align():
    return router_batches.align
