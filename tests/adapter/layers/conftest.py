"""A few families always, every other one in the slow tier."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from miniatures import FAMILIES, PROMPTS, Family
from support.layers_by_hand import SlowHost, adapter, decode, trained

import parrot_adapters as pa

FEW = ("llava", "qwen2_5_vl", "gemma3")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    marks = metafunc.definition.iter_markers("parametrize")
    if "family" in metafunc.fixturenames and not any("family" in str(mark.args[0]) for mark in marks):
        names = getattr(metafunc.module, "ONLY", FAMILIES)
        slow = pytest.mark.slow
        metafunc.parametrize("family", [pytest.param(n, marks=() if n in FEW else slow) for n in names], indirect=True)


@pytest.fixture
def family(request: pytest.FixtureRequest) -> Family:
    """A documented fault of the host itself is a strict expected failure."""
    found = FAMILIES[request.param]
    if (test := request.node.originalname) in found.known:
        request.node.add_marker(pytest.mark.xfail(reason=found.known[test], strict=True))
    return found


@pytest.fixture
def host(family: Family) -> Any:
    return family.build()


@pytest.fixture
def inputs(family: Family) -> dict[str, Any]:
    return family.batch(PROMPTS)


@pytest.fixture
def attached(family: Family, host: Any) -> pa.Attachment:
    """The family's host with an adapter inside its layers that does something."""
    return trained(pa.attach(host, adapter(family)))


@pytest.fixture
def slow_host(family: Family, attached: pa.Attachment) -> SlowHost:
    return SlowHost(family.build(), attached)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(name="decode")
def _decode() -> Callable[..., Any]:
    return decode
