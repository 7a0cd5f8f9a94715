"""Experts inside the layers: what they do to a host's forward, and what they leave alone to the bit."""

from __future__ import annotations

import contextvars
from typing import Any

import pytest
import torch
from miniatures import BOS, FAMILIES, PROMPTS, Family, Image, Video
from support.layers_by_hand import SlowHost, adapter, decode, logits, trained
from torch.testing import assert_close

import parrot_adapters as pa
from parrot_adapters.hosts.layer_sites import _AddExperts
from parrot_adapters.hosts.visual_tokens import RunningCalls

TEXT = [PROMPTS[2], (*PROMPTS[2], 40, 41)]


def test_attaching_changes_nothing(host, family, inputs) -> None:
    host.requires_grad_(False)  # as attach leaves it; torch's attention has another kernel for weights that train
    before, tokens = logits(host, inputs), decode(host, inputs).sequences
    handle = pa.attach(host, adapter(family, expert_options={"shared_rank": 2}))
    assert torch.equal(logits(host, inputs), before)
    assert torch.equal(decode(host, inputs).sequences, tokens)
    assert handle.active


def check_layers(family: Family, host: Any, inputs: dict[str, Any], **options: Any) -> None:
    handle = trained(pa.attach(host, adapter(family, **options)))
    assert_close(logits(host, inputs), SlowHost(family.build(), handle).logits(inputs), rtol=1e-4, atol=1e-4)


def test_it_is_what_a_slow_host_does(host, family, inputs) -> None:
    check_layers(family, host, inputs, expert_options={"shared_rank": 2, "layer_scale": 1.5})


@pytest.mark.parametrize("family", ["llava", "gemma3"], indirect=True)
@pytest.mark.parametrize(
    "options",
    [
        {"placement": "both"},
        {"num_experts": 1},
        {"top_k": 1},
        {"layers": [1]},
        {"layer_modules": ["q_proj"]},
        {"layer_modules": ["self_attn.v_proj", "gate_proj", "up_proj", "down_proj"]},
        {"placement": "both", "expert": "shared-swiglu", "expert_options": {"shared_rank": 1, "shared_hidden_size": 3}},
    ],
    ids=str,
)
@pytest.mark.few(4)
def test_other_forms(host, family, inputs, options: dict[str, Any]) -> None:
    check_layers(family, host, inputs, **options)


@pytest.mark.parametrize("family", ["llava"], indirect=True)
@pytest.mark.parametrize("broken", ["everywhere", "other image", "no scale"])
def test_a_wrong_product_is_caught(host, family, inputs, monkeypatch, broken: str) -> None:
    own = RunningCalls.here

    def wrong(self: RunningCalls) -> Any:
        tokens = own(self)
        if tokens is None:
            return None
        positions = {"everywhere": lambda t: t.positions.flip(0) // 2}.get(broken, lambda t: t.positions)(tokens)
        units = {"other image": tokens.units.roll(5, 0), "no scale": tokens.units / 2}.get(broken, tokens.units)
        return type(tokens)(positions, units, tokens.total)

    monkeypatch.setattr(RunningCalls, "here", wrong)
    with pytest.raises(AssertionError):
        check_layers(family, host, inputs)


# --- what is left alone -------------------------------------------------------------------------------------------


def check_text_only(host: Any, family: Family, inputs: dict[str, Any]) -> None:
    """Prompts without images, alone or beside others: the bits of the bare host, whatever was trained."""
    alone = family.batch(TEXT)
    bare, bare_mixed, answers = logits(host, alone), logits(host, inputs), decode(host, alone).sequences
    handle = trained(pa.attach(host, adapter(family, expert_options={"shared_rank": 2})))
    assert torch.equal(logits(host, alone), bare)
    assert torch.equal(decode(host, alone).sequences, answers)
    mixed = logits(host, inputs)
    assert (mixed[:2] - bare_mixed[:2]).abs().amax((1, 2)).min() > 1e-3
    if family.name == "qwen3_vl_moe":  # its own experts batch the tokens of all rows, and rounding goes with the batch
        assert_close(mixed[2], bare_mixed[2], rtol=1e-5, atol=1e-5)
    else:
        assert torch.equal(mixed[2], bare_mixed[2])
    handle.detach()


def test_text_only_is_the_bare_host_to_the_bit(host, family, inputs) -> None:
    check_text_only(host, family, inputs)


@pytest.mark.parametrize("family", ["llava"], indirect=True)
def test_layers_that_touch_text_are_caught(host, family, inputs, monkeypatch) -> None:
    monkeypatch.setattr(
        _AddExperts,
        "__call__",
        lambda self, module, args, output: output + 1e-6 * args[0].mean() if args[0].dim() == 3 else output,
    )
    with pytest.raises(AssertionError):
        check_text_only(host, family, inputs)


@pytest.mark.parametrize("family", ["llava", "qwen2_5_vl"], indirect=True)
def test_text_before_the_image_is_left_alone(host, family) -> None:
    inputs = family.batch([(BOS, 20, 21, 22, Image(0), 23)])
    bare = logits(host, inputs)
    trained(pa.attach(host, adapter(family)))
    moved = (logits(host, inputs) - bare)[0].abs().amax(-1)
    assert torch.equal(moved[:4], torch.zeros(4))
    assert moved[-1] > 1e-3


# --- the same in every form of a batch ----------------------------------------------------------------------------


def test_padding_side_does_not_matter(attached, family) -> None:
    left = logits(attached.model, family.batch(PROMPTS, padding="left", min_length=80))
    right = logits(attached.model, family.batch(PROMPTS, padding="right"))
    assert_close(left[1, -1], right[1, int(family.batch(PROMPTS)["attention_mask"][1].sum()) - 1], rtol=1e-3, atol=1e-3)


def test_row_alone_gives_the_logits_it_gives_in_the_batch(attached, inputs, family) -> None:
    together = logits(attached.model, inputs)[1, -1]
    alone = logits(attached.model, family.batch([PROMPTS[1]]))[0, -1]
    assert_close(alone, together, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("family", ["llava", "gemma3", "llava_next"], indirect=True)  # M-RoPE hosts need the ids
def test_embeddings_instead_of_ids(attached, inputs) -> None:
    by_id = logits(attached.model, inputs)
    embeds = attached.model.get_input_embeddings()(inputs.pop("input_ids"))
    assert_close(logits(attached.model, inputs | {"inputs_embeds": embeds}), by_id, rtol=1e-4, atol=1e-4)


def test_each_image_has_its_own_routing(attached, inputs, family) -> None:
    """A word more in the second prompt leaves the first one's layers alone."""
    other = family.batch([PROMPTS[0], (*PROMPTS[1], 60), PROMPTS[2]], min_length=inputs["input_ids"].shape[1])
    assert_close(logits(attached.model, other)[0, -1], logits(attached.model, inputs)[0, -1], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("family", [name for name in FAMILIES if FAMILIES[name].videos], indirect=True)
def test_video(family: Family, request) -> None:
    model = family.build()
    image = (Image(0),) if family.together else ()
    inputs = family.batch([(BOS, 20, *image, 21, Video(0), 22), (BOS, 30, Video(1), 31)])
    before = logits(model, inputs)
    handle = pa.attach(model, adapter(family))
    assert torch.equal(logits(model, inputs), before)
    trained(handle)
    after = logits(model, inputs)
    assert (after - before).abs().amax((1, 2)).min() > 1e-3
    assert_close(decode(model, inputs).logits[0], after[:, -1], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("family", ["llava", "gemma3"], indirect=True)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64], ids=str)
def test_hosts_of_other_dtypes(host, family, inputs, dtype: torch.dtype) -> None:
    host.to(dtype)
    inputs = {k: v.to(dtype) if v.is_floating_point() else v for k, v in inputs.items()}
    before = logits(host, inputs)
    handle = pa.attach(host, adapter(family))
    assert torch.equal(logits(host, inputs), before)
    trained(handle)
    after = logits(host, inputs)
    assert after.dtype == dtype
    assert not torch.equal(after, before)
    effect = (after - before)[:2, -1].abs().max().item()  # half precision rounds otherwise where there is a cache
    assert_close(decode(host, inputs).logits[0].to(dtype), after[:, -1], rtol=0, atol=0.05 * effect)


@pytest.mark.parametrize("family", ["llava", "qwen2_5_vl"], indirect=True)
def test_outputs_of_the_encoder_given_by_the_user(attached, inputs) -> None:
    model, encoder = attached.model, attached.parts.encoders["image"]
    arguments = {k: inputs[k] for k in encoder.arguments if k in inputs}
    with torch.no_grad():
        given = model.base_model.get_image_features(**arguments, return_dict=True)
    rest = {k: v for k, v in inputs.items() if not k.startswith("pixel_values")}
    kept = dict(given.items())
    assert_close(logits(model, rest | {"mm_encoder_outputs": {"image": given}}), logits(model, inputs))
    assert_close(decode(model, rest | {"mm_encoder_outputs": {"image": given}}).logits[0], logits(model, inputs)[:, -1])
    assert all(given[name] is value for name, value in kept.items())


@pytest.mark.parametrize("family", ["llava"], indirect=True)
def test_a_failed_call_leaves_nothing_behind(attached, inputs, family, monkeypatch) -> None:
    """The layers of the next call, even one that goes round the base model, know nothing of it."""
    language_model = attached.parts.module(attached.parts.language_model)
    embeds = torch.randn(*inputs["input_ids"].shape, 32)
    with attached.disabled(), torch.no_grad():
        bare = language_model(inputs_embeds=embeds).last_hidden_state
    hook = language_model.register_forward_hook(lambda *args: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        logits(attached.model, inputs)
    hook.remove()
    with torch.no_grad():
        assert torch.equal(language_model(inputs_embeds=embeds).last_hidden_state, bare)


@pytest.mark.parametrize("family", ["llava"], indirect=True)
def test_a_call_that_is_not_left_is_caught(attached, inputs, family, monkeypatch) -> None:
    monkeypatch.setattr(RunningCalls, "leave", lambda self: None)
    with pytest.raises((AssertionError, pa.ParrotError)):
        # In a context of its own, which takes what the double leaves behind with it.
        contextvars.copy_context().run(test_a_failed_call_leaves_nothing_behind, attached, inputs, family, monkeypatch)
