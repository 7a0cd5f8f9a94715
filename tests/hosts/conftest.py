"""Every test with a ``family`` runs on every miniature; documented faults of hosts are strict expected failures."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from miniatures import ADAPTER, FAMILIES, KINDS, PROMPTS, Family, awake
from support.base_arguments import aligned_outputs

import parrot_adapters as pa

# The default run: what every family must pass, and everything on one family of each kind. The rest runs as slow tests.
ALWAYS = ("test_attaching_changes_nothing",)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A module may name fewer families in ``ONLY``, a test in a parametrize mark."""
    marks = metafunc.definition.iter_markers("parametrize")
    if "family" not in metafunc.fixturenames or any("family" in str(mark.args[0]) for mark in marks):
        return
    names = getattr(metafunc.module, "ONLY", FAMILIES)
    always = metafunc.function.__name__ in ALWAYS
    metafunc.parametrize(
        "family",
        [pytest.param(name, marks=() if always or name in KINDS else pytest.mark.slow) for name in names],
        indirect=True,
    )


@pytest.fixture
def family(request: pytest.FixtureRequest) -> Family:
    found = FAMILIES[request.param]
    test = request.node.originalname
    if test in found.known:
        request.node.add_marker(pytest.mark.xfail(reason=found.known[test], strict=True))
    return found


@pytest.fixture
def host(family: Family) -> Any:
    return family.build()


@pytest.fixture
def inputs(family: Family) -> dict[str, Any]:
    return family.batch(PROMPTS)


@pytest.fixture
def attached(host: Any) -> pa.Attachment:
    """The family's host with an adapter that does something."""
    return awake(pa.attach(host, ADAPTER))


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@dataclass
class Oracle:
    """The host by itself, handed the adapter's output for the whole prompt: what every decoding must agree with."""

    handle: pa.Attachment

    def inputs(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """The arguments with pixels replaced by aligned features, as plain outputs of the host's own classes."""
        plain = aligned_outputs(self.handle.model, inputs)
        return {k: v for k, v in inputs.items() if not k.startswith("pixel_values")} | {"mm_encoder_outputs": plain}

    def generate(self, inputs: dict[str, Any], **options: Any) -> Any:
        given = self.inputs(inputs)
        with self.handle.disabled():
            return decode(self.handle.model, given, **options)


@pytest.fixture
def oracle(attached: pa.Attachment) -> Oracle:
    return Oracle(attached)


def decode(model: Any, inputs: dict[str, Any], **options: Any) -> Any:
    """``generate`` with logits of every step."""
    torch.manual_seed(0)  # for sampling
    settings = {"max_new_tokens": 4, "do_sample": False, "return_dict_in_generate": True, "output_logits": True}
    return model.generate(**inputs, **(settings | options))


@pytest.fixture(name="decode")
def _decode() -> Callable[..., Any]:
    return decode


@pytest.fixture
def routed() -> Callable[..., Any]:
    """``routed(handle, inputs)``: the routing records of one forward pass."""

    def run(handle: pa.Attachment, inputs: dict[str, Any]) -> list[pa.RoutingRecord]:
        with handle.record_routing() as log, torch.no_grad():
            handle.model(**inputs)
        return log

    return run
