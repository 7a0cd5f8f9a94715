"""Routing reads the first user turn: the same in training and inference, whatever is answered or asked later."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from miniatures import (
    ADAPTER,
    ASSISTANT,
    BOS,
    END_TURN,
    FIRST_WORD,
    SYSTEM,
    TURN,
    USER,
    Family,
    Image,
    awake,
    tokenizer,
)
from torch.testing import assert_close

import parrot_adapters as pa

ONLY = ["llava", "qwen3_vl", "gemma3", "idefics3"]

SYSTEM_TURN = [TURN, SYSTEM, 70, 71, END_TURN]
QUESTION = [TURN, USER, 20, Image(0), 21, 22, END_TURN]
HEADER = [TURN, ASSISTANT]


def turn(role: int, *words: int) -> list[int]:
    return [TURN, role, *words, END_TURN]


@pytest.fixture
def chatting(host) -> pa.Attachment:
    return awake(pa.attach(host, ADAPTER, processor=tokenizer()))


def routing_text(handle: pa.Attachment, inputs: dict[str, Any]) -> list[list[int]]:
    """Ids of the text the router is shown, row by row."""
    seen: list[Any] = []
    hook = handle.module.router.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    with torch.no_grad():
        handle.model(**inputs)
    hook.remove()
    return [ids[mask].tolist() for ids, mask in zip(inputs["input_ids"], seen[0].text_mask, strict=True)]


def words(rows: list[list[int]]) -> list[list[int]]:
    """Without image frames, which only the tokenizer knows of some hosts, and which the reference scope reads."""
    return [[i for i in row if i >= FIRST_WORD] for row in rows]


def test_the_template_was_read(chatting) -> None:
    assert chatting.chat.user_header == (TURN, USER)
    assert chatting.chat.assistant_header == (TURN, ASSISTANT)


@pytest.mark.parametrize("system", [[], SYSTEM_TURN], ids=["plain", "system prompt"])
def test_only_the_first_question_is_routing_text(chatting, family: Family, system: list[int]) -> None:
    start = [BOS, *system, *QUESTION]
    inputs = family.batch(
        [
            [*start, *HEADER],
            [*start, *turn(ASSISTANT, 50, 51)],
            [*start, *turn(ASSISTANT, 52), *turn(USER, 60, 61, 62), *HEADER],
        ]
    )
    assert routing_text(chatting, inputs) == [[20, 21, 22]] * 3


def test_a_first_turn_without_a_header_is_read_from_the_start(chatting, family: Family) -> None:
    """Whatever user turns come behind the first answer."""
    begun = [BOS, 20, 21, Image(0), 22, *HEADER]
    inputs = family.batch([begun, [*begun, 50, END_TURN, *turn(USER, 60, 61), *HEADER]])
    assert words(routing_text(chatting, inputs)) == [[20, 21, 22]] * 2


def test_training_and_inference_route_alike(chatting, family: Family, routed) -> None:
    asked = family.batch([[BOS, *QUESTION, *HEADER]])
    told = family.batch([[BOS, *QUESTION, *turn(ASSISTANT, 50, 51), *turn(USER, 60), *turn(ASSISTANT, 52)]])
    labels = told["input_ids"].clone()
    labels[(labels != 50) & (labels != 51) & (labels != 52)] = -100
    (inference,), (training,) = routed(chatting, asked), routed(chatting, told | {"labels": labels})
    assert_close(training.logits, inference.logits)


def test_embeddings_are_scoped_like_ids(chatting, family: Family, routed) -> None:
    inputs = family.batch([[BOS, *SYSTEM_TURN, *QUESTION, *turn(ASSISTANT, 50), *turn(USER, 60), *HEADER]])
    (by_id,) = routed(chatting, inputs)
    embeds = chatting.model.get_input_embeddings()(inputs.pop("input_ids"))
    (by_embedding,) = routed(chatting, inputs | {"inputs_embeds": embeds})
    assert_close(by_embedding.logits, by_id.logits)


def test_an_image_in_a_later_turn_still_reads_the_first_question(chatting, family: Family) -> None:
    inputs = family.batch([[BOS, *turn(USER, 20), *turn(ASSISTANT, 50), TURN, USER, Image(0), 60, END_TURN, *HEADER]])
    assert routing_text(chatting, inputs) == [[20]]


def test_without_a_template_the_first_label_ends_the_prompt(attached, family: Family) -> None:
    prompt = [BOS, 20, Image(0), 21]
    inputs = family.batch([[*prompt, 50, 51], [*prompt, 52]])
    labels = torch.where(inputs["input_ids"] >= 50, inputs["input_ids"], -100)
    assert words(routing_text(attached, inputs | {"labels": labels})) == [[20, 21]] * 2


def test_a_row_without_the_templates_header_ends_at_its_first_label(chatting, family: Family) -> None:
    inputs = family.batch([[BOS, *QUESTION, *turn(ASSISTANT, 50)], [BOS, 20, Image(0), 21, 50, 51]])
    labels = torch.where((inputs["input_ids"] == 50) | (inputs["input_ids"] == 51), inputs["input_ids"], -100)
    assert words(routing_text(chatting, inputs | {"labels": labels})) == [[20, 21, 22], [20, 21]]


def test_labels_of_one_call_do_not_linger(attached, family: Family) -> None:
    inputs = family.batch([[BOS, 20, Image(0), 21, 50]])
    labels = torch.where(inputs["input_ids"] == 21, 21, -100)
    assert words(routing_text(attached, inputs | {"labels": labels})) == [[20]]
    assert words(routing_text(attached, inputs)) == [[20, 21, 50]]
    # A batch without images passes the adapter by; its labels must not wait for the next one of the same length.
    without_images = family.batch([[BOS, 30, 31]], min_length=inputs["input_ids"].shape[1])
    attached.model(**without_images, labels=without_images["input_ids"])
    assert words(routing_text(attached, inputs)) == [[20, 21, 50]]
    attached.model(**without_images, labels=without_images["input_ids"])
    seen: list[Any] = []
    attached.module.router.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    attached.model.base_model(**inputs)  # past the outer model, which is where labels are seen
    assert words([inputs["input_ids"][seen[0].text_mask].tolist()]) == [[20, 21, 50]]


def test_reference_scope_reads_all_that_is_not_a_label(host, family: Family) -> None:
    handle = awake(pa.attach(host, ADAPTER | {"text_scope": "reference"}))
    inputs = family.batch([[20, Image(0), 21, 50, 60]])
    labels = torch.where(inputs["input_ids"] == 50, 50, -100)
    assert words(routing_text(handle, inputs | {"labels": labels})) == [[20, 21, 60]]
    assert words(routing_text(handle, inputs)) == [[20, 21, 50, 60]]
