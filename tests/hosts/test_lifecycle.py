"""Switching, taking off, copying, pickling and saving, on every family."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import torch
from miniatures import ADAPTER, Family, awake

import parrot_adapters as pa
from parrot_adapters.hosts.native_seam import NativeSeam


def logits(model: Any, inputs: dict[str, Any]) -> torch.Tensor:
    with torch.no_grad():
        return model(**inputs).logits


def snapshot(model: Any) -> dict[str, Any]:
    """What must be the same after detaching: weights, flags, attributes and hooks of every module."""
    return {
        "weights": {name: (id(value), value.clone()) for name, value in model.state_dict(keep_vars=True).items()},
        "flags": {name: p.requires_grad for name, p in model.named_parameters()},
        "attributes": {name: set(module.__dict__) for name, module in model.named_modules()},
        "hooks": {
            name: [list(hooks) for key, hooks in sorted(module.__dict__.items()) if key.endswith("_hooks")]
            for name, module in model.named_modules()
        },
    }


def check_detach(model: Any, inputs: dict[str, Any]) -> None:
    """Attach, train, run, detach: no trace is left."""
    model.requires_grad_(False)  # as attach leaves it; torch's attention has another kernel for weights that train
    bare = logits(model, inputs)
    model.generate(**inputs, max_new_tokens=1, do_sample=False)  # hosts install hooks of their own when first run
    before = snapshot(model)
    handle = awake(pa.attach(model, ADAPTER))
    assert not torch.equal(logits(model, inputs), bare)
    with handle.disabled():
        assert torch.equal(logits(model, inputs), bare)
    handle.freeze_host()  # only now: some hosts give other bits where nothing requires a gradient
    model.generate(**inputs, max_new_tokens=1, do_sample=False)
    handle.detach()
    after = snapshot(model)
    assert torch.equal(logits(model, inputs), bare)
    weights = before.pop("weights"), after.pop("weights")
    assert before == after
    assert weights[0].keys() == weights[1].keys()
    assert all(
        was[0] == now[0] and torch.equal(was[1], now[1])
        for was, now in zip(weights[0].values(), weights[1].values(), strict=True)
    )
    assert pa.attachment_of(model) is None


def test_disabled_and_detached_are_the_bare_host(host, inputs) -> None:
    check_detach(host, inputs)


def test_deepcopy_has_an_adapter_of_its_own(attached, inputs) -> None:
    model = attached.model
    before = logits(model, inputs)
    twin = copy.deepcopy(model)
    own = pa.attachment_of(twin)
    assert own is not None
    assert own is not attached
    assert own.model is twin
    assert torch.equal(logits(twin, inputs), before)
    with torch.no_grad():
        for parameter in own.module.parameters():
            parameter.mul_(2)
    assert not torch.equal(logits(twin, inputs), before)
    assert torch.equal(logits(model, inputs), before)
    own.detach()
    assert torch.equal(logits(model, inputs), before)
    assert pa.attachment_of(model) is attached


@pytest.mark.few(2)
def test_pickle(attached, inputs) -> None:
    """Before the first forward: after it, hosts carry closures of transformers' own that do not pickle."""
    back = pickle.loads(pickle.dumps(attached.model))
    assert torch.equal(logits(back, inputs), logits(attached.model, inputs))
    made = back.generate(**inputs, max_new_tokens=2, do_sample=False)
    assert torch.equal(made, attached.model.generate(**inputs, max_new_tokens=2, do_sample=False))
    pa.attachment_of(back).detach()


def test_saved_host_is_the_bare_host(host, inputs, tmp_path) -> None:
    bare = logits(host, inputs)
    awake(pa.attach(host, ADAPTER))
    host.save_pretrained(tmp_path)
    again, report = type(host).from_pretrained(tmp_path, output_loading_info=True)
    assert not report["unexpected_keys"]
    assert not report["missing_keys"]
    assert torch.equal(logits(again.eval(), inputs), bare)


def test_saved_adapter_is_exact(attached, family: Family, inputs, tmp_path) -> None:
    attached.save_pretrained(tmp_path)
    other = family.build()
    handle = pa.load_adapter(other, tmp_path)
    assert torch.equal(logits(other, inputs), logits(attached.model, inputs))
    mine, theirs = handle.module.state_dict(), attached.module.state_dict()
    assert mine.keys() == theirs.keys()
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)


def test_attaching_twice_is_refused(attached, inputs) -> None:
    before = logits(attached.model, inputs)
    with pytest.raises(pa.ParrotError, match="carries an adapter already"):
        pa.attach(attached.model, ADAPTER)
    assert torch.equal(logits(attached.model, inputs), before)


def test_parts_are_found(attached) -> None:
    parts = attached.parts
    assert attached.projector is not None
    assert parts.vision_tower is not None
    assert parts.language_model is not None
    report = attached.parameter_report()
    assert report["adapter"]["parameters"] == sum(p.numel() for p in attached.module.parameters())
    assert {"projector", "language_model"} <= report.keys()


# --- doubles that must fail ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["llava"], indirect=True)
@pytest.mark.parametrize("forgotten", ["a hook", "everything"])
def test_a_detach_that_leaves_hooks_is_caught(host, inputs, monkeypatch, forgotten: str) -> None:
    remove = NativeSeam.remove

    def forgetful(self: NativeSeam) -> None:
        if forgotten == "a hook":
            if self._hooks:
                self._hooks.pop()  # it stays on the host; and being disabled, it does nothing that logits could show
            remove(self)

    monkeypatch.setattr(NativeSeam, "remove", forgetful)
    with pytest.raises(AssertionError):
        check_detach(host, inputs)
