"""Shared by all tests, those of the plugins too: offline, one thread per process, and how many cases are drawn.

Two profiles of Hypothesis: ``quick``, unless told, and ``--hypothesis-profile thorough``, which the slow tier runs on
the same tests. They count for the conformance kit as well.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.pop("PARROT_PLUGIN_FILE", None)  # of whoever runs the tests

import pytest
from hypothesis import HealthCheck, Phase, settings

# The same cases in every run, so that a run of CI says something about the change and not about the day.
# An example that fails is not made smaller in the quick profile: it fails in the thorough one too, which does that, and
# checks that are shown to bite fail on purpose.
DRAWN = (Phase.explicit, Phase.reuse, Phase.generate)
BUSY = (HealthCheck.too_slow,)  # a machine that has other work is no fault of a test
settings.register_profile("quick", max_examples=14, derandomize=True, phases=DRAWN, suppress_health_check=BUSY)
settings.register_profile("thorough", max_examples=100, derandomize=True, suppress_health_check=BUSY)
settings.load_profile("quick")
CONFORMANCE_CASES = {"quick": 8, "thorough": 30}


@pytest.fixture(autouse=True)
def _cases_of_the_conformance_kit(request: pytest.FixtureRequest) -> Iterator[None]:
    """A check of the kit draws as many batches as the profile says, where a test does not say it itself."""
    if request.node.get_closest_marker("conformance") is None:
        yield
        return
    from parrot_adapters.testing import examples

    with examples(CONFORMANCE_CASES[request.config.getoption("hypothesis_profile") or "quick"]):
        yield


@pytest.hookimpl(tryfirst=True)  # before those of other tiers are taken out
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    from support.tiers import leave_few

    leave_few(items)


def pytest_collection_finish() -> None:
    """What was imported stays: the collector need not go through it at every run of a trainer, which calls it."""
    gc.collect()
    gc.freeze()
