"""Models of transformers that cannot be handed encoded images: reached at their own calls."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from miniatures import ADAPTER, BOS, Image, awake
from miniatures.own_calls import OWN_CALLS
from support.tiers import late_unless

import parrot_adapters as pa
from parrot_adapters.errors import HostError, PlaceholderError, SelfTestError
from parrot_adapters.hosts.called_prompts import PromptCall
from parrot_adapters.hosts.read_prompt import Prompt

PROMPTS = [(BOS, 20, 21, Image(0), 22, Image(1), 23), (BOS, 30, Image(2), 31)]
ONE_EACH = [(BOS, 20, 21, Image(0), 22), (BOS, 30, Image(2), 31)]
BROKEN = {"llama4"}  # the bare model of transformers 5.24 fails in every forward pass: its output lacks a field
NAMES = [name for name in OWN_CALLS if name not in BROKEN]


@pytest.fixture(params=late_unless(["blip-2", "florence2", "kosmos-2.5", "phi4_multimodal"], NAMES))
def name(request: pytest.FixtureRequest) -> str:
    return request.param


def prompts(name: str) -> list[Any]:
    return ONE_EACH if name == "git" else PROMPTS


@pytest.fixture
def host(name: str) -> Any:
    return OWN_CALLS[name].build().requires_grad_(False)


@pytest.fixture
def inputs(name: str) -> dict[str, Any]:
    return OWN_CALLS[name].batch(prompts(name))


def logits(model: Any, inputs: dict[str, Any]) -> torch.Tensor:
    with torch.no_grad():
        return model(**inputs).logits


def records(handle: pa.Attachment, inputs: dict[str, Any]) -> list[pa.RoutingRecord]:
    with handle.record_routing() as log, torch.no_grad():
        handle.model(**inputs)
    return log


def test_the_bare_host_comes_and_goes(host, inputs, tmp_path) -> None:
    bare = logits(host, inputs)
    before = {module: set(vars(module)) for module in host.modules()}
    hooks = [len(module._forward_hooks) + len(module._forward_pre_hooks) for module in host.modules()]
    handle = pa.attach(host, ADAPTER, self_test=inputs)
    assert handle.seam == "calls"
    assert handle.projector is not None
    assert torch.equal(logits(host, inputs), bare)
    awake(handle)
    made = logits(host, inputs)
    assert not torch.equal(made, bare)
    with handle.disabled():
        assert torch.equal(logits(host, inputs), bare)
    twin = copy.deepcopy(host)
    assert torch.equal(logits(twin, inputs), made)
    handle.save_pretrained(tmp_path)
    handle.detach()
    assert torch.equal(logits(host, inputs), bare)
    assert torch.equal(logits(twin, inputs), made)
    assert {module: set(vars(module)) for module in host.modules()} == before
    assert [len(module._forward_hooks) + len(module._forward_pre_hooks) for module in host.modules()] == hooks
    pa.load_adapter(host, tmp_path)
    assert torch.equal(logits(host, inputs), made)


def test_a_prompt_in_a_batch_is_routed_as_alone(name: str, host, inputs) -> None:
    handle = awake(pa.attach(host, ADAPTER))
    together = records(handle, inputs)
    weights, rows = torch.cat([one.weights for one in together]), torch.cat([one.rows for one in together]).tolist()
    for number, prompt in enumerate(prompts(name)):
        alone = torch.cat([one.weights for one in records(handle, OWN_CALLS[name].batch([prompt]))])
        torch.testing.assert_close(weights[[row == number for row in rows]], alone, atol=2e-5, rtol=1e-4)
    assert weights.std(0).max() > 1e-3, "routing depends on the prompt"


def test_cache_or_not_beams_or_not_the_prompt_is_what_is_read(host, inputs) -> None:
    handle = awake(pa.attach(host, ADAPTER))
    given = {key: value for key, value in inputs.items() if key != "decoder_input_ids"}
    expected = torch.cat([one.weights for one in records(handle, inputs)])
    made = {}
    for cache in (True, False):
        with handle.record_routing() as log, handle.languages(["en", "tr"]):
            made[cache] = host.generate(**given, max_new_tokens=3, do_sample=False, use_cache=cache)
        steps = torch.cat([one.weights for one in log]).split(len(expected))
        for step in steps:  # once, or at every step
            torch.testing.assert_close(step, expected, atol=2e-5, rtol=1e-4)
    with handle.disabled():
        bare = [host.generate(**given, max_new_tokens=3, do_sample=False, use_cache=cache) for cache in (True, False)]
    assert torch.equal(made[True], made[False]) or not torch.equal(*bare)  # Kosmos-2 counts padding without a cache


def test_gradients_reach_the_adapter_alone(host, inputs) -> None:
    handle = pa.attach(host, ADAPTER, train_projector=True)
    host.train()
    logits = host(**inputs).logits
    logits.float().pow(2).mean().backward()
    touched = {key for key, value in host.named_parameters() if value.grad is not None}
    assert all("parrot_adapter" in key or handle.parts.projector in key for key in touched)
    assert any("parrot_adapter" in key for key in touched)
    assert any(handle.parts.projector in key for key in touched)


@pytest.mark.parametrize("forgotten", ["generate", "forward"])
def test_a_prompt_call_that_is_not_declared_is_found_out(forgotten: str) -> None:
    """Kosmos-2.5 encodes at every step without a cache: without ``generate`` it would route on what it wrote."""
    family = OWN_CALLS["kosmos-2.5"]
    kept = [call for call in ("forward", "generate") if call != forgotten]
    with pytest.raises((SelfTestError, HostError)):
        pa.attach(family.build(), {**ADAPTER, "host_options": {"prompt_calls": kept}}, self_test=family.batch(PROMPTS))


def test_llama_4_with_the_field_that_its_release_forgot(monkeypatch) -> None:
    from transformers.modeling_outputs import MoeCausalLMOutputWithPast

    monkeypatch.setattr(MoeCausalLMOutputWithPast, "image_outputs", None, raising=False)
    family = OWN_CALLS["llama4"]
    inputs = family.batch(PROMPTS)
    handle = pa.attach(family.build(), ADAPTER, self_test=inputs)
    [record] = records(handle, inputs)
    assert record.rows.tolist() == [0, 0, 1]
    assert record.unit == "run"


def test_a_prompt_that_is_not_whole_is_refused() -> None:
    """In chunks, or behind a cache: what transformers does not split today it may tomorrow."""
    family = OWN_CALLS["blip-2"]
    inputs = family.batch(PROMPTS)
    handle = awake(pa.attach(family.build(), ADAPTER))
    longer = torch.cat([torch.full((2, 3), 40), inputs["input_ids"]], 1)
    seam = handle.native_seam
    seam.open_prompt(handle.model.generate, (), {"input_ids": longer}, generates=True)
    with pytest.raises(HostError, match="only a part of the prompt"):
        handle.model(**inputs)
    seam.close_prompt(whole=False)
    assert len(records(handle, inputs)) == 1


def prompt_call(places: list[list[bool]]) -> PromptCall:
    where = torch.tensor(places)
    return PromptCall(None, {}, _prompt=Prompt(torch.zeros(*where.shape, 4), ~where, {"image": where}, None))


def test_pictures_that_are_encoded_one_by_one_belong_to_one_row_after_the_other() -> None:
    call = prompt_call([[True, False, True], [False, True, False]])
    assert [call.owners_of_pictures(1, None) for _ in range(3)] == [[(0, 0)], [(0, 1)], [(1, 2)]]
    with pytest.raises(PlaceholderError, match="do not match the images"):
        call.owners_of_pictures(1, None)


def test_pictures_without_places_are_shared_out_in_order() -> None:
    call = prompt_call([[False], [False]])
    assert call.owners_in_order(4) == [(0, 0), (0, 1), (1, 2), (1, 3)]
    with pytest.raises(PlaceholderError, match="3 pictures cannot be shared out among 2 prompts"):
        call.owners_in_order(3)
