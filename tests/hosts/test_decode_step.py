"""What a decode step of an attached host pays: how often it calls into the library, and that it calls nothing more."""

from __future__ import annotations

import functools
import inspect
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from miniatures import ADAPTER, FAMILIES, PROMPTS, awake
from transformers import DynamicCache

import parrot_adapters as pa

LIBRARY = str(Path(pa.__file__).parent)
LLAVA = FAMILIES["llava"]
HOOK, BASE = "NativeSeam.pass_labels", "BaseCall.__call__"  # of the outer model; in place of the base model's forward
PLACEMENTS = {"projector": {}, "layers": {"placement": "layers", "layer_rank": 2}}


def calls_into_library(run: Callable[[], object]) -> Counter[str]:
    """The functions of the library that anything outside of it called."""
    found: Counter[str] = Counter()

    def look(frame: Any, event: str, argument: Any) -> None:
        if event != "call" or not frame.f_code.co_filename.startswith(LIBRARY):
            return
        if frame.f_back is None or not frame.f_back.f_code.co_filename.startswith(LIBRARY):
            found[frame.f_code.co_qualname] += 1

    sys.setprofile(look)
    try:
        run()
    finally:
        sys.setprofile(None)
    return found


def decode_step(model: Any) -> Counter[str]:
    inputs, cache = LLAVA.batch(PROMPTS), DynamicCache(config=model.config.get_text_config())
    name = "cache" if "cache" in inspect.signature(model.forward).parameters else "past_key_values"
    with torch.no_grad():
        model(**inputs, **{name: cache}, use_cache=True)
        mask = torch.nn.functional.pad(inputs["attention_mask"], (0, 1), value=1)
        step = {"input_ids": torch.full((len(mask), 1), 30), "attention_mask": mask, name: cache, "use_cache": True}
        return calls_into_library(lambda: model(**step))


def check_decode_step(handle: pa.Attachment) -> None:
    calls = decode_step(handle.model)
    layers = calls.pop("_AddExperts.__call__", 0)  # of each linear layer with experts, and of no other
    assert calls == {HOOK: 1, BASE: 1}
    assert layers == (0 if handle.module.layer_experts is None else len(handle.module.layer_experts.paths))


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_a_decode_step_meets_one_hook(placement: str) -> None:
    handle = awake(pa.attach(LLAVA.build(), ADAPTER | PLACEMENTS[placement]))
    check_decode_step(handle)
    handle.add_adapter("other")
    handle.set_adapter("other")
    check_decode_step(handle)
    handle.disable()
    check_decode_step(handle)
    handle.detach()
    assert not decode_step(handle.model)


def test_a_second_hook_is_caught() -> None:
    handle = awake(pa.attach(LLAVA.build(), ADAPTER))
    handle.model.register_forward_pre_hook(handle.native_seam.pass_labels, with_kwargs=True)
    with pytest.raises(AssertionError):
        check_decode_step(handle)


# --- what stands in place of a forward --------------------------------------------------------------------------------


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        made: torch.Tensor = model(**LLAVA.batch(PROMPTS)).logits
    return made


def wrapped(module: Any) -> Any:
    """As accelerate does it: around the forward that the instance has, with that one's signature."""
    before = module.forward
    module.forward = functools.update_wrapper(functools.partial(lambda *a, **k: before(*a, **k)), before)
    return module.forward


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_forward_on_the_instance_is_kept(when: str) -> None:
    host = LLAVA.build()
    bare, base = logits(host), host.base_model
    known = inspect.signature(base.forward)
    theirs = wrapped(base) if when == "before" else None
    handle = awake(pa.attach(host, ADAPTER))
    attached = logits(host)
    assert not torch.equal(attached, bare)
    assert inspect.signature(base.forward) == known
    theirs = wrapped(base) if when == "after" else theirs
    assert torch.equal(logits(host), attached)
    handle.detach()
    assert base.__dict__["forward"] is theirs
    assert torch.equal(logits(host), bare)
