"""Attaching is one step: where any part of it fails, the host is what it was, bit for bit and trace for trace."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import CodeType
from typing import Any

import pytest
import torch

import parrot_adapters as pa
from parrot_adapters.adapter import attach as attaching
from parrot_adapters.adapter import prepare_adapter as preparing
from parrot_adapters.adapter.carried_adapter import CarriedAdapter
from parrot_adapters.adapter.handle import Attachment
from parrot_adapters.adapter.host_overrides import BareHostSave, HostOverrides
from parrot_adapters.core import AlignmentLayer
from parrot_adapters.errors import HostError
from parrot_adapters.hosts.generation_override import GENERATION_HELPER, GenerationOverride
from parrot_adapters.hosts.lora import LanguageModelLora
from parrot_adapters.hosts.native_seam import NativeSeam
from parrot_adapters.hosts.switched_weights import SwitchedWeights

STEPS = (
    Attachment._put_on,
    CarriedAdapter.put_on,
    SwitchedWeights.__init__,
    LanguageModelLora.__init__,
    NativeSeam.__init__,
    NativeSeam.install,
    GenerationOverride.__init__,
    BareHostSave.__init__,
    HostOverrides.put,
)
PLACES = [
    (step.__code__, line)
    for step in STEPS
    for line in sorted({line for _, _, line in step.__code__.co_lines() if line is not None})
    if line != step.__code__.co_firstlineno
]


class Injected(Exception):
    """A failure that nothing but a test raises."""


@contextmanager
def failing_at(code: CodeType, line: int) -> Iterator[list[int]]:
    """Raise :class:`Injected` where a function is about to run a line, the first time; the list says whether it was."""
    reached: list[int] = []

    def in_function(frame: Any, event: str, argument: Any) -> Any:
        if event == "line" and frame.f_lineno == line and not reached:
            reached.append(line)
            raise Injected(line)
        return in_function

    before = sys.gettrace()
    sys.settrace(lambda frame, event, argument: in_function if frame.f_code is code else None)
    try:
        yield reached
    finally:
        sys.settrace(before)


def everything(host: Any, kit: Any, small: Any) -> None:
    pa.attach(host, small, train_projector=True, lora=kit.LORA)


def prepare(host: Any) -> None:
    """A host with things of its own that must come back: flags, a hook, and its own way to encode and to save."""
    host.model.vision_tower.requires_grad_(False)
    host.model.register_forward_pre_hook(lambda module, args: None)
    own = getattr(type(host), GENERATION_HELPER).__get__(host)
    host.__dict__[GENERATION_HELPER] = lambda *args, **kwargs: own(*args, **kwargs)
    host._keys_to_ignore_on_save = {"lm_head.weight"}


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


def check_fails_whole(kit: Any, host: Any, small: Any, code: CodeType, line: int) -> bool:
    """Fail there, and the host is as before and can be attached to; says whether the line is run at all."""
    with Whole(kit, host), failing_at(code, line) as reached:
        try:
            everything(host, kit, small)
        except Injected:
            assert pa.attachment_of(host) is None
        else:
            pa.attachment_of(host).detach()
    everything(host, kit, small)
    return bool(reached)


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.__qualname__)
def test_a_failure_at_any_line_leaves_the_host_as_it_was(kit, make_host, small, step):
    reached = []
    for code, line in PLACES:
        if code is step.__code__:
            host = make_host()
            prepare(host)
            reached.append(check_fails_whole(kit, host, small, code, line))
    assert reached[0], "the function is run"
    assert sum(reached) > len(reached) / 3, "most of it is the way without errors"


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
    prepare(host)
    STEPS_AROUND[step](monkeypatch)
    with Whole(kit, host), pytest.raises(Injected):
        pa.attach(host, small, processor=Processor(), train_projector=True, lora=kit.LORA, self_test=inputs)


@pytest.mark.parametrize("broken", [NativeSeam, HostOverrides, LanguageModelLora], ids=lambda broken: broken.__name__)
def test_the_check_bites_when_something_is_not_taken_off(kit, host, small, inputs, monkeypatch, broken):
    monkeypatch.setattr(broken, "remove", lambda self: None)
    STEPS_AROUND["the self-test"](monkeypatch)
    with pytest.raises(AssertionError), Whole(kit, host), pytest.raises(Injected):
        pa.attach(host, small, train_projector=True, lora=kit.LORA, self_test=inputs)


def test_the_check_bites_where_a_half_made_adapter_is_left(kit, host, small, monkeypatch):
    monkeypatch.setattr(Attachment, "_take_off", lambda self: None)
    monkeypatch.setattr(BareHostSave, "__init__", raising)
    with pytest.raises(AssertionError), Whole(kit, host), pytest.raises(Injected):
        pa.attach(host, small)


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
