"""What an adapter does, and does not do, to a host's forward."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from miniatures import ADAPTER, BOS, FAMILIES, FIRST_WORD, IMAGE, PROMPTS, Family, Image, Video, awake, tokenizer
from torch.testing import assert_close

import parrot_adapters as pa


def logits(model: Any, inputs: dict[str, Any]) -> torch.Tensor:
    with torch.no_grad():
        return model(**inputs).logits


@pytest.mark.few(8)
def test_attaching_changes_nothing(host, inputs, decode) -> None:
    host.requires_grad_(
        False
    )  # as attach leaves it: torch's attention has another kernel for weights that need a gradient
    before, tokens = logits(host, inputs), decode(host, inputs).sequences
    handle = pa.attach(host, ADAPTER)
    assert torch.equal(logits(host, inputs), before)
    assert torch.equal(decode(host, inputs).sequences, tokens)
    assert handle.active


@pytest.mark.few(6)
def test_self_test_passes(attached, inputs) -> None:
    pa.self_test(attached, inputs)


def test_awake_adapter_changes_only_rows_with_images(attached, inputs) -> None:
    with attached.disabled():
        bare = logits(attached.model, inputs)
    moved = (logits(attached.model, inputs) - bare).abs().amax((1, 2))
    assert (moved[:2] > 1e-3).all()
    assert moved[2] < 1e-4  # MoE language models may batch rows together, so not bitwise


def test_labels_give_a_loss(attached, family) -> None:
    inputs = family.batch([(*prompt, 50, 51) for prompt in PROMPTS])
    labels = inputs["input_ids"].clone()
    labels[:, :-2] = -100
    out = attached.model(**inputs, labels=labels)
    assert out.loss.isfinite()


def test_each_image_reads_its_own_rows_text(attached, inputs, family, routed) -> None:
    (record,) = routed(attached, inputs)
    assert record.rows.tolist() == [0, 0, 1]
    assert record.unit == family.unit
    other = family.batch([PROMPTS[0], (*PROMPTS[1], 60), PROMPTS[2]])
    (changed,) = routed(attached, other)
    assert_close(changed.logits[:2], record.logits[:2], rtol=1e-4, atol=1e-5)
    assert (changed.logits[2] - record.logits[2]).abs().max() > 1e-4


def test_only_words_are_routing_text(host, inputs) -> None:
    """No padding, placeholder, BOS or image frame: config and tokenizer together know them all."""
    seen: list[Any] = []
    handle = pa.attach(host, ADAPTER, processor=tokenizer())
    handle.module.router.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    logits(host, inputs)
    ids = inputs["input_ids"]
    assert torch.equal(seen[0].text_mask, ids >= FIRST_WORD)


def test_padding_side_does_not_matter(attached, family, routed) -> None:
    (left,) = routed(attached, family.batch(PROMPTS, padding="left", min_length=80))
    (right,) = routed(attached, family.batch(PROMPTS, padding="right"))
    assert_close(left.logits, right.logits, rtol=1e-4, atol=1e-5)
    assert torch.equal(left.rows, right.rows)


def test_row_alone_is_routed_as_in_the_batch(attached, inputs, family, routed) -> None:
    (together,) = routed(attached, inputs)
    for row in (0, 1):
        (alone,) = routed(attached, family.batch([PROMPTS[row]]))
        assert_close(alone.logits, together.logits[together.rows == row], rtol=1e-4, atol=1e-5)


def test_row_alone_gives_the_logits_it_gives_in_the_batch(attached, inputs, family) -> None:
    together = logits(attached.model, inputs)[1, -1]
    alone = logits(attached.model, family.batch([PROMPTS[1]]))[0, -1]
    assert_close(alone, together, rtol=1e-3, atol=1e-4)


def test_prompts_without_images_never_reach_the_adapter(attached, family, routed) -> None:
    assert routed(attached, family.batch([PROMPTS[2]])) == []


def test_embeddings_instead_of_ids(attached, inputs, routed) -> None:
    embeds = attached.model.get_input_embeddings()(inputs["input_ids"])
    (by_id,) = routed(attached, inputs)
    without = {k: v for k, v in inputs.items() if k != "input_ids"}
    (by_embedding,) = routed(attached, without | {"inputs_embeds": embeds})
    assert_close(by_embedding.logits, by_id.logits)
    assert torch.equal(by_embedding.rows, by_id.rows)


def test_positional_arguments(attached, inputs) -> None:
    ids = inputs.pop("input_ids")
    with torch.no_grad():
        assert torch.equal(attached.model(ids, **inputs).logits, logits(attached.model, inputs | {"input_ids": ids}))


@pytest.mark.few(2)
def test_bf16_host_with_fp32_adapter(host, inputs, decode) -> None:
    host.to(torch.bfloat16)
    inputs = {k: v.bfloat16() if v.is_floating_point() else v for k, v in inputs.items()}
    before = logits(host, inputs)
    handle = pa.attach(host, ADAPTER)
    assert {p.dtype for p in handle.module.parameters()} == {torch.float32}
    assert torch.equal(logits(host, inputs), before)
    awake(handle)
    assert logits(host, inputs).dtype == torch.bfloat16
    pa.self_test(handle, inputs)


def test_outputs_given_by_the_user_are_not_mutated(attached, inputs, decode) -> None:
    model = attached.model
    encoder = attached.parts.encoders["image"]
    arguments = {k: inputs[k] for k in encoder.arguments if k in inputs}
    with torch.no_grad():
        given = model.base_model.get_image_features(**arguments, return_dict=True)
    kept, kind = dict(given.items()), type(given)
    outputs = {"image": given}
    rest = {k: v for k, v in inputs.items() if not k.startswith("pixel_values")}
    assert_close(logits(model, rest | {"mm_encoder_outputs": outputs}), logits(model, inputs))
    decode(model, rest | {"mm_encoder_outputs": dict(outputs)})
    assert outputs["image"] is given
    assert type(given) is kind
    assert all(given[name] is value for name, value in kept.items())


def test_wrong_number_of_placeholders(attached, inputs) -> None:
    state = {k: v.clone() for k, v in attached.model.state_dict().items()}
    ids = inputs["input_ids"].clone()
    row, column = (ids == IMAGE).nonzero()[0]
    ids[row, column] = FIRST_WORD
    with pytest.raises(pa.ParrotError, match="placeholders"):
        attached.model(**(inputs | {"input_ids": ids}))
    with pytest.raises(pa.ParrotError, match="placeholders"):
        attached.model.generate(**(inputs | {"input_ids": ids}), max_new_tokens=1)
    assert all(torch.equal(v, state[k]) for k, v in attached.model.state_dict().items())
    logits(attached.model, inputs)


@pytest.mark.parametrize("unit", ["row", "run"])
def test_other_units(host, inputs, routed, unit: str) -> None:
    handle = pa.attach(host, ADAPTER | {"host_options": {"unit": unit}})
    (record,) = routed(handle, inputs)
    assert record.rows.tolist() == ([0, 1] if unit == "row" else [0, 0, 1])


@pytest.mark.parametrize("family", [name for name in FAMILIES if FAMILIES[name].videos], indirect=True)
@pytest.mark.few(2)
def test_video(family: Family) -> None:
    model = family.build()
    image = (Image(0),) if family.together else ()
    prompts = [(BOS, 20, *image, 21, Video(0), 22), (BOS, 30, Video(1), 31)]
    inputs = family.batch(prompts)
    before = logits(model, inputs)
    handle = pa.attach(model, ADAPTER)
    assert torch.equal(logits(model, inputs), before)
    pa.self_test(handle, inputs)
    with handle.record_routing() as log:
        logits(model, inputs)
    rows = {record.modality: sorted(set(record.rows.tolist())) for record in log}
    assert rows == ({"image": [0]} if image else {}) | {"video": [0, 1]}
