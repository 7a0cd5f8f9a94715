"""Every way of decoding is one pass of the slow host over prompt and answer."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from miniatures import PROMPTS, Family
from support.layers_by_hand import SlowHost, adapter, decode, logits, trained
from support.tiers import late_unless
from torch.testing import assert_close

import parrot_adapters as pa
from parrot_adapters.core import LayerExpert
from parrot_adapters.hosts.native_seam import NativeSeam

# M-RoPE positions of what follows a prompt are kept by the host between calls: a pass over all of it has others.
BY_HAND = ["llava", "gemma3", "idefics3", "llava_next", "internvl", "mistral3"]


def answers(made: Any, inputs: dict[str, Any]) -> torch.Tensor:
    return made.sequences[:, inputs["input_ids"].shape[1] :]


def check_greedy(slow_host: SlowHost, inputs: dict[str, Any], **options: Any) -> Any:
    """The tokens are the slow host's best ones, the logits its own."""
    made = decode(slow_host.handle.model, inputs, **options)
    answer = answers(made, inputs)
    expected = slow_host.continued(inputs, answer)
    assert_close(torch.stack(made.logits, 1), expected, rtol=1e-3, atol=1e-3)
    return made


def test_first_logits_are_forwards(attached, inputs) -> None:
    expected = logits(attached.model, inputs)[:, -1]
    assert_close(decode(attached.model, inputs).logits[0], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("family", late_unless(["llava", "internvl"], BY_HAND), indirect=True)
@pytest.mark.parametrize(
    "options",
    [{}, {"use_cache": False}, {"cache_implementation": "static", "disable_compile": True}],
    ids=["cache", "no cache", "static cache"],
)
@pytest.mark.few(4)
def test_greedy(slow_host, inputs, options: dict[str, Any]) -> None:
    if options.get("use_cache") is False and slow_host.model.config.model_type == "gemma3":
        options = options | {"max_new_tokens": 1}  # the host's own later steps differ without a cache (token types)
    check_greedy(slow_host, inputs, **options)


@pytest.mark.parametrize("family", ["llava"], indirect=True)
def test_routing_that_is_lost_in_chunks_is_caught(slow_host, inputs, monkeypatch) -> None:
    monkeypatch.setattr("parrot_adapters.hosts.native_seam.with_columns", lambda output, field: output)
    with pytest.raises(pa.ParrotError, match="routing, which layers need, is lost"):
        check_greedy(slow_host, inputs, prefill_chunk_size=5)


@pytest.mark.parametrize("family", ["llava"], indirect=True)
@pytest.mark.parametrize("options", [{}, {"use_cache": False}, {"prefill_chunk_size": 5}], ids=str)
def test_layers_that_are_bare_in_generate_are_caught(slow_host, inputs, monkeypatch, options) -> None:
    own = NativeSeam.before_generation

    def forget(self: NativeSeam, *args: Any, **kwargs: Any) -> Any:
        with_columns = own(self, *args, **kwargs)
        monkeypatch.setattr(NativeSeam, "_enter", lambda self, outputs, places: None)
        return with_columns

    monkeypatch.setattr(NativeSeam, "before_generation", forget)
    with pytest.raises(AssertionError):
        check_greedy(slow_host, inputs, **options)


def test_decoding_agrees_however_it_is_done(attached, inputs, family) -> None:
    """Without a cache, with a static one, in chunks: the same answer, wherever the bare host gives the same."""

    def logits_of(**options: Any) -> torch.Tensor:
        return torch.stack(decode(attached.model, inputs, **options).logits)

    agreed = []
    for options in (
        {"use_cache": False},
        {"cache_implementation": "static", "disable_compile": True},
        {"prefill_chunk_size": 5},
        {"prefill_chunk_size": 8},
    ):
        if "prefill_chunk_size" in options and "test_chunked_prefill" in family.known:
            continue
        with attached.disabled():
            same = torch.allclose(logits_of(), logits_of(**options), rtol=1e-3, atol=1e-3)
        if same:
            agreed.append(options)
            assert_close(logits_of(**options), logits_of(), rtol=1e-3, atol=1e-3)
    assert len(agreed) >= 2


def test_beams(attached, inputs) -> None:
    first = logits(attached.model, inputs)[:, -1]
    made = decode(attached.model, inputs, num_beams=3)
    assert_close(made.logits[0], first.repeat_interleave(3, 0), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("family", ["llava", "idefics3"], indirect=True)
def test_each_beam_is_the_slow_hosts(slow_host, inputs) -> None:
    """The answer that wins is scored as the slow host scores it: later steps of beams see the right layers too."""
    made = decode(slow_host.handle.model, inputs, num_beams=3, output_scores=True, length_penalty=1.0)
    answer = answers(made, inputs)
    expected = slow_host.continued(inputs, answer).log_softmax(-1).gather(-1, answer[..., None]).squeeze(-1).mean(1)
    assert_close(made.sequences_scores, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("family", ["llava"], indirect=True)
@pytest.mark.parametrize("assistant", ["bare", "adapted", "of the prompt"])
def test_assisted_decoding_gives_the_same_answer(attached, family, assistant: str) -> None:
    """Whoever guesses ahead, the answer is the host's own, and its prompt is routed once."""
    inputs = family.batch([PROMPTS[0]])
    plain = decode(attached.model, inputs, max_new_tokens=8)
    helper = family.build()
    if assistant == "adapted":
        trained(pa.attach(helper, adapter(family)))
    options = {"prompt_lookup_num_tokens": 3} if assistant == "of the prompt" else {"assistant_model": helper}
    with attached.record_routing() as log:
        assisted = decode(attached.model, inputs, max_new_tokens=8, **options)
    assert torch.equal(assisted.sequences, plain.sequences)
    assert len(log) == 1


def test_left_padding_does_not_matter(attached, family) -> None:
    alone = decode(attached.model, family.batch([PROMPTS[1]]))
    padded = decode(attached.model, family.batch([PROMPTS[1]], min_length=60))
    assert torch.equal(alone.sequences[:, -4:], padded.sequences[:, -4:])


def count_products(monkeypatch: Any) -> list[int]:
    counted: list[int] = []
    own = LayerExpert.forward

    def count(self: LayerExpert, tokens: torch.Tensor, *others: torch.Tensor) -> torch.Tensor:
        counted.append(len(tokens))
        return own(self, tokens, *others)

    monkeypatch.setattr(LayerExpert, "forward", count)
    return counted


def test_decode_steps_are_untouched(attached, inputs, monkeypatch) -> None:
    """However many tokens are made, every layer's experts run once."""
    counted = count_products(monkeypatch)
    with attached.record_routing() as log:
        decode(attached.model, inputs, max_new_tokens=6)
    assert len(log) == 1
    assert len(counted) == len(attached.module.layer_experts.paths)


def test_text_only_never_reaches_the_experts(attached, family, monkeypatch) -> None:
    counted = count_products(monkeypatch)
    decode(attached.model, family.batch([PROMPTS[2]]))
    assert counted == []


@pytest.mark.parametrize("family", ["llava"], indirect=True)
def test_generating_from_embeddings(attached, inputs) -> None:
    made = decode(attached.model, inputs)
    embeds = attached.model.get_input_embeddings()(inputs["input_ids"]).detach()
    given = {k: v for k, v in inputs.items() if k != "input_ids"} | {"inputs_embeds": embeds}
    assert torch.equal(decode(attached.model, given).sequences[:, -4:], made.sequences[:, -4:])


@pytest.mark.parametrize("family", ["llava"], indirect=True)
def test_assisted_decoding(attached, family) -> None:
    inputs = family.batch([PROMPTS[1]])
    made = decode(attached.model, inputs)
    assisted = decode(attached.model, inputs, prompt_lookup_num_tokens=2)
    assert torch.equal(made.sequences, assisted.sequences)


@pytest.mark.parametrize("family", ["llava", "gemma3"], indirect=True)
def test_switched_off_in_the_middle_of_generate(host, inputs, family: Family) -> None:
    """The host is handed nothing that it does not know."""
    handle = trained(pa.attach(host, adapter(family)))

    class SwitchOff:
        def __call__(self, ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
            handle.disable()
            return scores

    made = decode(host, inputs, logits_processor=[SwitchOff()], use_cache=False)
    assert made.sequences.shape[1] == inputs["input_ids"].shape[1] + 4
    handle.enable()
