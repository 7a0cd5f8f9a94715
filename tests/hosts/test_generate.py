"""Every way of decoding agrees with the host that is simply handed the aligned features of the whole prompt."""

from __future__ import annotations

import pytest
import torch
from miniatures import ADAPTER, PROMPTS, awake
from torch.testing import assert_close

import parrot_adapters as pa


def agree(made, expected) -> None:
    assert torch.equal(made.sequences, expected.sequences)
    for mine, other in zip(made.logits, expected.logits, strict=True):
        assert_close(mine, other, rtol=1e-3, atol=1e-4)


def test_first_logits_are_forwards(attached, inputs, decode) -> None:
    with torch.no_grad():
        expected = attached.model(**inputs).logits[:, -1]
    assert_close(decode(attached.model, inputs).logits[0], expected, rtol=1e-4, atol=1e-4)


def test_greedy(attached, inputs, decode, oracle) -> None:
    with attached.record_routing() as log:
        made = decode(attached.model, inputs)
    assert len(log) == 1  # once, however many tokens are made
    agree(made, oracle.generate(inputs))


def test_without_cache(attached, inputs, decode, oracle) -> None:
    agree(decode(attached.model, inputs, use_cache=False), oracle.generate(inputs, use_cache=False))


@pytest.mark.few(3)
def test_beams(attached, inputs, decode, oracle) -> None:
    made = decode(attached.model, inputs, num_beams=2, output_scores=True)
    agree(made, expected := oracle.generate(inputs, num_beams=2, output_scores=True))
    assert_close(made.sequences_scores, expected.sequences_scores, rtol=1e-3, atol=1e-4)
    with torch.no_grad():
        first = attached.model(**inputs).logits[:, -1]
    assert_close(made.logits[0], first.repeat_interleave(2, 0), rtol=1e-3, atol=1e-4)


@pytest.mark.few(2)
def test_sampling_is_reproducible(attached, inputs, decode, oracle) -> None:
    options = {"do_sample": True, "temperature": 1.5}
    made = decode(attached.model, inputs, **options)
    agree(decode(attached.model, inputs, **options), made)
    agree(made, oracle.generate(inputs, **options))


@pytest.mark.few(3)
def test_several_answers(attached, inputs, decode, oracle) -> None:
    options = {"do_sample": True, "num_return_sequences": 2}
    agree(decode(attached.model, inputs, **options), oracle.generate(inputs, **options))


@pytest.mark.few(3)
def test_chunked_prefill(attached, inputs, decode, oracle) -> None:
    options = {"prefill_chunk_size": 5}
    agree(decode(attached.model, inputs, **options), oracle.generate(inputs, **options))


def test_static_cache(attached, inputs, decode, oracle) -> None:
    options = {"cache_implementation": "static", "disable_compile": True}
    agree(decode(attached.model, inputs, **options), oracle.generate(inputs, **options))


def test_generating_from_embeddings(attached, inputs, decode, oracle) -> None:
    by_id = oracle.inputs(inputs)["mm_encoder_outputs"]
    embeds = attached.model.get_input_embeddings()(inputs.pop("input_ids")).detach()
    inputs |= {"inputs_embeds": embeds}
    by_embedding = oracle.inputs(inputs)["mm_encoder_outputs"]
    field = attached.parts.spec.feature_attribute
    for mine, other in zip(by_embedding["image"][field], by_id["image"][field], strict=True):
        assert_close(mine, other, rtol=1e-4, atol=1e-4)
    agree(decode(attached.model, inputs), oracle.generate(inputs))


def test_row_alone_is_answered_as_in_the_batch(attached, inputs, family, decode) -> None:
    together = decode(attached.model, inputs)
    alone = decode(attached.model, family.batch([PROMPTS[1]]))
    assert alone.sequences[0, -4:].tolist() == together.sequences[1, -4:].tolist()


def test_disabled_is_the_bare_host(host, inputs, decode) -> None:
    bare = decode(host, inputs).sequences
    handle = awake(pa.attach(host, ADAPTER))
    with handle.disabled():
        assert torch.equal(decode(host, inputs).sequences, bare)


@pytest.mark.parametrize("family", ["llava"], indirect=True)
@pytest.mark.parametrize("placement", ["projector", "both"])
def test_an_adapted_host_assists_a_bare_one(host, family, decode, placement) -> None:
    """In later rounds its cache holds the pictures that it is handed again."""
    inputs, main = family.batch([PROMPTS[1]]), family.build()
    config = {**ADAPTER, "placement": placement}
    made, helper = decode(main, inputs), awake(pa.attach(host, config))
    for assistant in (helper.model, main):
        agree(decode(main, inputs, assistant_model=assistant), made)
    assert torch.equal(
        decode(helper.model, inputs, assistant_model=main).sequences, decode(helper.model, inputs).sequences
    )


@pytest.mark.slow
def test_assisted_decoding(attached, family, decode) -> None:
    inputs = family.batch([PROMPTS[1]])
    made = decode(attached.model, inputs)
    with attached.record_routing() as log:
        assisted = decode(attached.model, inputs, prompt_lookup_num_tokens=2)
    assert len(log) == 1
    assert torch.equal(made.sequences, assisted.sequences)
