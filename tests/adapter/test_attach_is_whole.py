"""Attaching is one step: where a part of it fails, the host is what it was, bit for bit and trace for trace.

At the lines of the library itself: test_failures_at_every_step.py.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch

import parrot_adapters as pa
from parrot_adapters.adapter import attach as attaching
from parrot_adapters.adapter import prepare_adapter as preparing
from parrot_adapters.core import AlignmentLayer
from parrot_adapters.errors import HostError


class Injected(Exception):
    """A failure that nothing but a test raises."""


class Whole:
    """``Untouched`` of the shared helpers, and the values of the host's own attributes too."""

    def __init__(self, kit: Any, host: Any) -> None:
        self.host, self.untouched = host, kit.Untouched(host)

    def __enter__(self) -> None:
        self.attributes = self._attributes()
        self.untouched.__enter__()

    def __exit__(self, *exception: Any) -> None:
        self.untouched.__exit__(*exception)
        if exception[0] is None:
            assert self._attributes() == self.attributes

    def _attributes(self) -> dict[str, dict[str, int]]:
        return {name: {key: id(value) for key, value in vars(m).items()} for name, m in self.host.named_modules()}


def raising(*args: Any, **kwargs: Any) -> Any:
    raise Injected


class Unfit(torch.nn.Module):
    """A projector that cannot be made trainable."""

    def __init__(self, inner: torch.nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.inner(features)

    def requires_grad_(self, requires_grad: bool = True) -> Any:
        raise Injected


class Processor:
    """As much of a tokenizer as attaching reads."""

    all_special_ids = (0,)


STEPS_AROUND = {
    "building the layer": lambda patch: patch.setattr(preparing, "build_layer", raising),
    "reading the chat format": lambda patch: patch.setattr(preparing.ChatFormat, "from_processor", raising),
    "moving the layer": lambda patch: patch.setattr(AlignmentLayer, "to", raising),
    "asking plugins for observers": lambda patch: patch.setattr(attaching, "_add_observers", raising),
    "naming the layer's weights": lambda patch: patch.setattr(AlignmentLayer, "state_dict", raising),
    "the layer's mode": lambda patch: patch.setattr(AlignmentLayer, "train", raising),
    "the self-test": lambda patch: patch.setattr("parrot_adapters.adapter.self_test.self_test", raising),
}


@pytest.mark.parametrize("step", STEPS_AROUND)
def test_a_failure_around_it_leaves_the_host_as_it_was(kit, host, small, inputs, monkeypatch, step):
    host.model.vision_tower.requires_grad_(False)
    STEPS_AROUND[step](monkeypatch)
    with Whole(kit, host), pytest.raises(Injected):
        pa.attach(host, small, processor=Processor(), train_projector=True, lora=kit.LORA, self_test=inputs)


@pytest.mark.parametrize("attach", [lambda host: pa.attach(host, train_projector=True), pa.attach_projector])
def test_a_projector_that_cannot_be_trained(kit, host, attach):
    host.model.multi_modal_projector = Unfit(host.model.multi_modal_projector)
    with Whole(kit, host), pytest.raises(Injected):
        attach(host)


# --- what cannot be attached to ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.float8_e4m3fn])
@pytest.mark.parametrize("attach", [lambda host: pa.attach(host, train_projector=True), pa.attach_projector])
def test_a_quantised_projector_is_refused(kit, host, small, dtype, attach):
    linear = host.model.multi_modal_projector.linear_1
    linear.weight = torch.nn.Parameter(linear.weight.detach().to(dtype), requires_grad=False)
    with Whole(kit, host), pytest.raises(HostError, match=r"projector is quantised(.|\n)*linear_1\.weight"):
        attach(host)
    pa.attach(host, small)


def outside(host: Any) -> Any:
    return torch.compile(host, backend="eager")


def in_place(host: Any) -> Any:
    host.compile(backend="eager")
    return host


def its_forward(host: Any) -> Any:
    host.forward = torch.compile(host.forward, backend="eager")
    return host


def its_base(host: Any) -> Any:
    host.model = torch.compile(host.model, backend="eager")
    return host


@pytest.mark.parametrize("compiled", [outside, in_place, its_forward, its_base])
def test_a_compiled_host_is_refused(kit, host, small, saved, compiled):
    model = compiled(host)
    with Whole(kit, host), pytest.raises(HostError, match="attach first, compile afterwards"):
        pa.attach(model, small)
    with Whole(kit, host), pytest.raises(HostError, match="attach first, compile afterwards"):
        pa.load_adapter(model, saved)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Dynamo detected a call to a .functools.lru_cache")
def test_compiled_after_attaching(kit, host, inputs, small):
    handle = pa.attach(host, small)
    kit.disturb(handle)
    expected = kit.logits(host, inputs)
    compiled = torch.compile(host, backend="eager")
    torch.testing.assert_close(kit.logits(compiled, inputs), expected)
    assert pa.attachment_of(compiled) is handle
    with handle.disabled(), pytest.raises(AssertionError):
        torch.testing.assert_close(kit.logits(host, inputs), expected)
