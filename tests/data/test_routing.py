"""Routing in training is routing at inference, whatever is answered and whatever is asked later."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest
import torch
import transformers
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from miniatures import ADAPTER, awake
from support.chat_processors import PATCH, PLAIN, TIGHT, llava, qwen2_vl
from support.random_dialogues import dialogues, messages, picture
from support.tiers import late_unless
from torch import Tensor
from torch.testing import assert_close

import parrot_adapters as pa
from parrot_adapters.data import Collator, Dialogue, Picture, Turn
from parrot_adapters.testing import lively_weights, small_llava

TEXT = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 2048,
    "pad_token_id": 0,
}
TOWER = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}


def llava_host(processor: Any) -> Any:
    return small_llava(text={"vocab_size": len(processor.tokenizer), **TEXT}, vision=TOWER, lively=False)


def qwen_host(processor: Any) -> Any:
    ids = processor.tokenizer.convert_tokens_to_ids
    return transformers.Qwen2VLForConditionalGeneration(
        transformers.Qwen2VLConfig(
            text_config={
                **TEXT,
                "vocab_size": len(processor.tokenizer),
                "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [1, 1, 2]},
            },
            vision_config={"depth": 1, "embed_dim": 16, "hidden_size": 32, "num_heads": 2, "patch_size": PATCH},
            image_token_id=ids("<|image_pad|>"),
            video_token_id=ids("<|video_pad|>"),
            vision_start_token_id=ids("<|vision_start|>"),
            vision_end_token_id=ids("<|vision_end|>"),
        )
    )


HOSTS: dict[str, tuple[Callable[[], Any], Callable[[Any], Any]]] = {
    "llava": (lambda: llava(PLAIN), llava_host),
    "llava tight": (lambda: llava(TIGHT), llava_host),
    # The space that ends a turn joins the word behind it, as tokenizers in use do: " ASSISTANT" is not "ASSISTANT".
    "llava merging": (lambda: llava(PLAIN, (("Ġ", "A"), ("Ġ", "U"), ("Ġ", "k"))), llava_host),
    "qwen2_vl": (qwen2_vl, qwen_host),
}


@functools.cache
def attached(name: str, scope: str = "first-turn") -> tuple[pa.Attachment, Collator]:
    make_processor, make_host = HOSTS[name]
    processor = make_processor()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = make_host(processor)
        lively_weights(model)
    handle = awake(pa.attach(model.train(), ADAPTER | {"text_scope": scope}, processor=processor))
    return handle, Collator(processor, model_config=model.config)


def in_training(handle: pa.Attachment, collator: Collator, batch: list[Dialogue]) -> Tensor:
    """(n, E) routing weights of the pictures in the first row's first question."""
    made = collator(batch)
    inputs = {name: value for name, value in made.items() if not name.startswith("parrot_")}
    with handle.record_routing() as log, torch.no_grad():
        loss = handle.model(**inputs).loss
    assert torch.isfinite(loss)
    return log[0].weights[log[0].rows == 0][: first_pictures(batch[0])]


def at_inference(handle: pa.Attachment, collator: Collator, dialogue: Dialogue) -> Tensor:
    """The same of what the host is given before anything is answered."""
    return answered_after(handle, collator, dialogue.turns[: asked_at(dialogue) + 1])


def answered_after(handle: pa.Attachment, collator: Collator, turns: tuple[Turn, ...]) -> Tensor:
    """Routing weights of all pictures where these turns are the prompt."""
    inputs = collator.processor.apply_chat_template(
        messages(turns),
        add_generation_prompt=True,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
    )
    with handle.record_routing() as log, torch.no_grad():
        handle.model(**inputs)
    return log[0].weights


def asked_at(dialogue: Dialogue) -> int:
    return next(n for n, turn in enumerate(dialogue.turns) if turn.role == "user")


def first_pictures(dialogue: Dialogue) -> int:
    return sum(isinstance(part, Picture) for part in dialogue.turns[asked_at(dialogue)].parts)


def continued(dialogue: Dialogue, other: Dialogue) -> Dialogue:
    """The first question of one, the answers and later turns of another."""
    n, m = asked_at(dialogue), asked_at(other)
    return Dialogue("c", "f", None, (*dialogue.turns[: n + 1], *other.turns[m + 1 :]))


asked = dialogues(min_pictures=1)


@pytest.mark.parametrize("name", late_unless(["qwen2_vl"], HOSTS))
@settings(deadline=None, max_examples=15)
@given(dialogue=asked, other=asked, beside=st.lists(dialogues(), max_size=2))
@pytest.mark.few(1)
def test_training_routes_as_inference_does(name: str, dialogue: Dialogue, other: Dialogue, beside: list) -> None:
    handle, collator = attached(name)
    expected = at_inference(handle, collator, dialogue)
    for told in (dialogue, continued(dialogue, other)):
        # Alone: the same arithmetic but for the row's length; in a batch, padding comes to it.
        assert_close(in_training(handle, collator, [told]), expected, rtol=1e-5, atol=1e-6)
        assert_close(in_training(handle, collator, [told, *beside]), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", HOSTS)
@settings(deadline=None, max_examples=10)
@given(dialogue=asked, other=asked)
def test_earlier_answers_do_not_change_later_ones(name: str, dialogue: Dialogue, other: Dialogue) -> None:
    """A conversation that goes on: no label says where the first question ends, only the chat template's header."""
    handle, collator = attached(name)
    told = continued(dialogue, other)
    later = answered_after(handle, collator, told.turns[:-1])[: first_pictures(dialogue)]
    assert_close(later, at_inference(handle, collator, dialogue), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", HOSTS)
@settings(deadline=None, max_examples=5)
@given(dialogue=asked, other=asked)
def test_the_question_does_matter(name: str, dialogue: Dialogue, other: Dialogue) -> None:
    """Else the test above could not fail."""
    handle, collator = attached(name)
    texts = [[p for p in d.turns[asked_at(d)].parts if isinstance(p, str)] for d in (dialogue, other)]
    letters = ["".join(text).encode() for text in texts]
    assume(sorted(letters[0]) != sorted(letters[1]))  # attention does not see the order of letters
    turns = list(dialogue.turns)
    pictures = tuple(p for p in turns[asked_at(dialogue)].parts if not isinstance(p, str))
    turns[asked_at(dialogue)] = Turn("user", (*pictures, *texts[1]))
    changed = Dialogue("c", "f", None, tuple(turns))
    assume(first_pictures(changed) == first_pictures(dialogue))
    before, after = (in_training(handle, collator, [d]) for d in (dialogue, changed))
    assert not torch.allclose(before, after, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", HOSTS)
def test_the_original_scope_fails_it(name: str) -> None:
    """Routing on all that is no label sees later questions in training only: the double that the property catches."""
    handle, collator = attached(name, "reference")
    dialogue = Dialogue(
        "d",
        "f",
        None,
        (
            Turn("user", (picture(16, 16), "köpek?")),
            Turn("assistant", ("x",)),
            Turn("user", ("что это за собака?",)),
            Turn("assistant", ("y",)),
        ),
    )
    with pytest.raises(AssertionError):
        assert_close(
            in_training(handle, collator, [dialogue]), at_inference(handle, collator, dialogue), rtol=1e-5, atol=1e-6
        )


@pytest.mark.parametrize("name", HOSTS)
def test_skipped_samples_leave_the_gradient_as_if_they_had_never_been(name: str) -> None:
    """Two processes, one of which loses its whole micro-batch: the loss is normalised by tokens, over both."""
    handle, _ = attached(name)
    skipping = Collator(HOSTS[name][0](), model_config=handle.model.config, bad_samples="skip")
    good = Dialogue("g", "f", None, (Turn("user", (picture(16, 16), "köpek?")), Turn("assistant", ("evet",))))
    gone = Picture(path="/nowhere/p.png")
    lost = [Dialogue(f"l{n}", "f", None, (Turn("user", (gone, "?")), Turn("assistant", ("x",))), n) for n in (1, 2, 3)]

    def gradients(micro_batches: list[list[Dialogue]]) -> dict[str, Tensor]:
        made = [skipping(one) for one in micro_batches]
        tokens = sum(int((one["labels"][:, 1:] != -100).sum()) for one in made)
        handle.model.zero_grad()
        for one in made:
            inputs = {key: value for key, value in one.items() if not key.startswith("parrot_")}
            loss = handle.model(**inputs, num_items_in_batch=torch.tensor(tokens)).loss
            assert torch.isfinite(loss)
            loss.backward()
        return {key: p.grad.clone() for key, p in handle.module.named_parameters() if p.grad is not None}

    alone, among = gradients([[good]]), gradients([[lost[0], good], lost[1:]])
    assert any(value.abs().max() > 0 for value in alone.values())
    for key, value in among.items():
        assert_close(value, alone.get(key, torch.zeros_like(value)))
    handle.model.zero_grad()
