"""Labels reach the adapter with their own call, on every family, and nothing of them is left afterwards."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
import torch
from miniatures import ADAPTER, BOS, Family, Image, awake

import parrot_adapters as pa
from parrot_adapters.errors import HostError
from parrot_adapters.hosts.call_arguments import LABELS
from parrot_adapters.hosts.native_seam import NativeSeam


@pytest.fixture
def labelled(family: Family) -> dict[str, Any]:
    """One prompt; its word 21 is a label, so that the routing text ends there."""
    inputs = family.batch([[BOS, 20, Image(0), 21, 50]])
    return inputs | {"labels": torch.where(inputs["input_ids"] == 21, 21, -100)}


def read(handle: pa.Attachment, call: Any) -> set[int]:
    """Which of the prompt's three words the router was shown during a call."""
    seen: list[pa.RoutingInputs] = []
    hook = handle.module.router.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    try:
        call()
    finally:
        hook.remove()
    return set(seen[0].token_ids[seen[0].text_mask].tolist()) & {20, 21, 50}


def test_labels_are_read_by_every_family(attached, labelled) -> None:
    """transformers hands arguments it does not know on to the base model; labels travel that way."""
    assert read(attached, lambda: attached.model(**labelled)) == {20}
    del labelled["labels"]
    assert read(attached, lambda: attached.model(**labelled)) == {20, 21, 50}


def test_nothing_inside_the_base_model_is_given_them(attached, labelled) -> None:
    given: list[dict[str, Any]] = []
    for module in attached.model.base_model.children():
        module.register_forward_pre_hook(lambda module, args, kwargs: given.append(kwargs), with_kwargs=True)
    attached.model(**labelled)
    with attached.disabled():
        attached.model(**labelled)
    assert given
    assert not any(LABELS in kwargs for kwargs in given)


@pytest.mark.parametrize("family", ["llava", "qwen3_vl"], indirect=True)
def test_positional_labels_are_read(attached, labelled) -> None:
    order = list(inspect.signature(type(attached.model).forward).parameters)[1:]
    given = [labelled.pop(name, None) for name in order[: order.index("labels") + 1]]
    assert read(attached, lambda: attached.model(*given, **labelled)) == {20}


# --- a call that fails ----------------------------------------------------------------------------------------------


def check_a_failed_call(failing: pa.Attachment, other: pa.Attachment, labelled: dict[str, Any]) -> None:
    """A call that fails before it reaches the base model changes nothing of the next one, here or on another host."""
    inputs = dict(labelled)
    labels = inputs.pop("labels")
    with pytest.raises(TypeError, match="multiple values"):
        failing.model(inputs["input_ids"], **inputs, labels=labels)
    assert read(other, lambda: other.model.base_model(**inputs)) == {20, 21, 50}


@pytest.mark.parametrize("family", ["llava", "qwen3_vl"], indirect=True)
@pytest.mark.parametrize("another", [False, True], ids=["the same host", "another host"])
def test_labels_of_a_failed_call_are_gone(attached, family: Family, labelled, another: bool) -> None:
    other = awake(pa.attach(family.build(), ADAPTER)) if another else attached
    check_a_failed_call(attached, other, labelled)


@pytest.mark.parametrize("family", ["llava"], indirect=True)
@pytest.mark.parametrize("another", [False, True], ids=["the same host", "another host"])
def test_remembered_labels_are_caught(host, family: Family, labelled, monkeypatch, another: bool) -> None:
    """The double keeps labels beside the calls, in one place for every host."""
    kept: list[Any] = []
    before_forward = NativeSeam.before_forward

    def remember(self: NativeSeam, module: Any, args: Any, kwargs: dict[str, Any]) -> None:
        kept[:] = [kwargs.get("labels")]

    def recall(self: NativeSeam, module: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        return before_forward(self, module, args, {**kwargs, LABELS: kept.pop()} if kept else kwargs)

    monkeypatch.setattr(NativeSeam, "pass_labels", remember)
    monkeypatch.setattr(NativeSeam, "before_forward", recall)
    failing = awake(pa.attach(host, ADAPTER))
    assert read(failing, lambda: failing.model(**labelled)) == {20}, "the double works where no call fails"
    with pytest.raises(AssertionError):
        check_a_failed_call(failing, awake(pa.attach(family.build(), ADAPTER)) if another else failing, labelled)


@pytest.mark.parametrize("family", ["llava"], indirect=True)
def test_a_host_that_takes_no_further_arguments_is_refused(host, monkeypatch) -> None:
    def narrow(self, input_ids=None, pixel_values=None, attention_mask=None, mm_encoder_outputs=None, labels=None):
        raise NotImplementedError

    monkeypatch.setattr(type(host), "forward", narrow)
    with pytest.raises(HostError, match="labels cannot be passed on"):
        pa.attach(host, ADAPTER)
    assert pa.attachment_of(host) is None
