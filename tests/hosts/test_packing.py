"""Packed rows: the host keeps samples apart, and each picture is routed by the text of its own sample."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from miniatures import (
    ADAPTER,
    ASSISTANT,
    BOS,
    END_TURN,
    FAMILIES,
    FIRST_WORD,
    PROMPTS,
    TURN,
    USER,
    Image,
    Video,
    awake,
    tokenizer,
)
from support.folders import ROOT
from support.tiers import late_unless
from torch.testing import assert_close
from transformers.masking_utils import find_packed_sequence_indices

import parrot_adapters as pa
from parrot_adapters.core.types import IGNORED
from parrot_adapters.data.packing import SEGMENTS, pack
from parrot_adapters.hosts import align_outputs
from parrot_adapters.hosts.packed_rows import Sequences, packed_arguments, read_apart, sequence_languages
from parrot_adapters.training.packing_check import compare_packed

PAGE = (ROOT / "recipes" / "train" / "DATA.md").read_text("utf-8").split("\n## Packing\n")[1].split("\n## ")[0]
REFUSED = set(re.findall(r"^\| `(\w+)`", PAGE, flags=re.MULTILINE)) - {"model_type"}

SAMPLES = (*PROMPTS, (BOS, 50, 51, 52, 53, Image(1), 54))


def collate(family: Any, samples: Any, side: str = "right") -> dict[str, Any]:
    """One sample a row; its last two tokens are learned."""
    batch = family.batch(samples, padding=side)
    labels = torch.full_like(batch["input_ids"], -100)
    for row, mask in enumerate(batch["attention_mask"].bool()):
        last = mask.nonzero().flatten()[-2:]
        labels[row, last] = batch["input_ids"][row, last]
    return {**batch, "labels": labels}


def packed_call(model: Any, batch: dict[str, Any], rows: Any = None, longest: int = 10_000) -> tuple[Any, torch.Tensor]:
    packed = pack(batch, longest, rows=rows)
    segments = packed.pop(SEGMENTS)
    base = model.base_model if hasattr(model.base_model, "get_image_features") else model
    return packed_arguments(base, packed, segments), segments


def same_routing(family: Any, handle: Any, routed: Any, rows: Any = (3, 1)) -> None:
    """Packed, padded and alone, every image gets the same weights."""
    arguments, _ = packed_call(handle.model, family.batch(SAMPLES), rows)
    (packed,), (padded,) = routed(handle, arguments), routed(handle, family.batch(SAMPLES))
    assert_close(packed.weights, padded.weights, rtol=1e-4, atol=1e-5)
    alone = [record for sample in SAMPLES for record in routed(handle, family.batch([sample]))]
    assert_close(packed.weights, torch.cat([record.weights for record in alone]), rtol=1e-4, atol=1e-5)


# -- every family -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.few(8)
def test_which_hosts_keep_packed_samples_apart(host, family, attention: str) -> None:
    """What the run sees before it begins; the page names those that do not."""
    host.set_attn_implementation(attention)
    # Built alike, as the samples of a data set are: what goes by a place in the row is right by accident.
    alike = ((BOS, 20, Image(0), 21, 22), (BOS, 30, Image(2), 31, 32))
    base = host.base_model if hasattr(host.base_model, "get_image_features") else host
    for samples in (alike, SAMPLES[:2]):
        found = compare_packed(host, base, lambda some: collate(family, some), samples, torch.device("cpu"))
        assert found.mixed > 0.1, "without borders samples do mix"
        assert found.kept == (family.name not in REFUSED), found
        assert found.kept or found.packed > 10 * found.allowed * found.mixed, "and it is no close call"


@pytest.mark.parametrize("family", [name for name in FAMILIES if FAMILIES[name].videos], indirect=True)
def test_videos_are_kept_apart_too(host, family) -> None:
    samples = ((BOS, 20, Video(0), 21, 22), (BOS, 30, 33, Video(1), 31, 32))
    base = host.base_model if hasattr(host.base_model, "get_image_features") else host
    found = compare_packed(host, base, lambda some: collate(family, some), samples, torch.device("cpu"))
    assert found.kept, found


@pytest.mark.parametrize("family", ["llava", "qwen2_5_vl", "gemma3", "lfm2_vl"], indirect=True)
def test_rounding_is_no_leak(host, family) -> None:
    """In bfloat16 logits differ by a few hundredths; hosts that mix samples are found out all the same."""
    host.to(torch.bfloat16)

    def halved(some: Any) -> dict[str, Any]:
        return {k: v.bfloat16() if v.is_floating_point() else v for k, v in collate(family, some).items()}

    base = host.base_model if hasattr(host.base_model, "get_image_features") else host
    found = compare_packed(host, base, halved, SAMPLES[:2], torch.device("cpu"))
    assert found.kept == (family.name not in REFUSED), found


def test_the_page_names_families_that_there_are() -> None:
    assert REFUSED
    assert set(FAMILIES) >= REFUSED


def test_an_image_is_routed_by_its_own_sample(attached, family, routed) -> None:
    same_routing(family, attached, routed)


def test_text_of_a_neighbour_is_noticed(attached, family, routed, monkeypatch: pytest.MonkeyPatch) -> None:
    """The double reads packed rows as rows."""
    monkeypatch.setattr(align_outputs, "read_apart", lambda call, labels: (call, labels))
    with pytest.raises(AssertionError):
        same_routing(family, attached, routed)


# -- some families in depth -------------------------------------------------------------------------------------------

DEEP = ["llava", "qwen2_5_vl", "qwen3_vl", "idefics3", "paligemma"]
deep = pytest.mark.parametrize("family", DEEP, indirect=True)

words = st.lists(st.integers(FIRST_WORD, FIRST_WORD + 60), min_size=1, max_size=4)
pictures = st.lists(st.integers(0, 3).map(Image), max_size=2)


@st.composite
def dialogues(draw: Any) -> tuple[Any, ...]:
    """Turns of the chat template; pictures anywhere in the first question."""
    parts: list[Any] = [BOS]
    for turn in range(draw(st.integers(1, 2))):
        asked = [*draw(words), *(draw(pictures) if not turn else []), *draw(words)]
        parts += [TURN, USER, *asked, END_TURN, TURN, ASSISTANT, *draw(words), FIRST_WORD, END_TURN]
    return tuple(parts)


samples = st.lists(dialogues(), min_size=1, max_size=5)


@pytest.mark.parametrize("name", late_unless(["llava", "qwen2_5_vl"], DEEP))
@given(drawn=samples, longest=st.integers(1, 160), side=st.sampled_from(["left", "right"]), scope=st.booleans())
@settings(deadline=None, max_examples=12)
def test_a_packed_batch_trains_as_it_would_unpacked(name, drawn, longest, side, scope) -> None:
    """Loss, gradients of adapter and projector, and routing."""
    family = FAMILIES[name]
    config = ADAPTER | {"text_scope": "first-turn" if scope else "reference"}
    handle = awake(pa.attach(_built(family), config, processor=tokenizer(), train_projector=True))
    try:
        handle.freeze_host()
        batch = collate(family, drawn, side)
        assert_equal_training(handle, batch, packed_call(handle.model, batch, longest=longest)[0])
    finally:
        handle.detach()


def _built(family: Any, made: dict[str, Any] = {}) -> Any:  # noqa: B006  (one for all examples)
    if family.name not in made:
        made[family.name] = family.build()
    return made[family.name]


def assert_equal_training(handle: Any, padded: dict[str, Any], packed: dict[str, Any]) -> None:
    results = []
    for given_ in (padded, packed):
        handle.model.zero_grad()
        with handle.record_routing() as log:
            loss = handle.model(**given_).loss
        if loss.requires_grad:
            loss.backward()
        gradients = [p.grad.clone() if p.grad is not None else torch.zeros_like(p) for p in handle.parameters()]
        results.append((loss.detach(), gradients, [record.weights for record in log]))
    (loss, gradients, weights), (other_loss, other_gradients, other_weights) = results
    assert_close(other_loss, loss, rtol=1e-5, atol=1e-5)
    assert_close(other_weights, weights, rtol=1e-4, atol=1e-5)
    assert_close(other_gradients, gradients, rtol=1e-3, atol=1e-5)


@deep
def test_attention_across_borders_is_noticed(attached, family) -> None:
    batch = collate(family, SAMPLES)
    arguments, _ = packed_call(attached.model, batch)
    with pytest.raises(AssertionError):
        assert_equal_training(attached, batch, arguments | {"position_ids": None})


@pytest.mark.parametrize("family", [n for n in DEEP if n != "paligemma"], indirect=True)  # makes its masks before
def test_a_cache_that_hides_borders_is_noticed(attached, family) -> None:
    """transformers looks for borders only where there is no cache."""
    batch = collate(family, SAMPLES)
    arguments, _ = packed_call(attached.model, batch)
    with pytest.raises(AssertionError):
        assert_equal_training(attached, batch, arguments | {"use_cache": True})


@deep
def test_neighbours_do_not_matter(attached, family, routed) -> None:
    def of_second(first: Any, third: Any) -> torch.Tensor:
        arguments, _ = packed_call(attached.model, collate(family, [first, SAMPLES[1], third]), (3,))
        (record,) = routed(attached, arguments)
        return record.weights[record.rows == 1]

    one, other = of_second(SAMPLES[0], SAMPLES[2]), of_second((BOS, 60, 61), (BOS, 70, Image(3), 71))
    assert_close(one, other, rtol=1e-4, atol=1e-5)


@deep
def test_records_count_samples_as_prompts(attached, family, routed) -> None:
    arguments, _ = packed_call(attached.model, collate(family, SAMPLES), (3, 1))
    with attached.languages(["en", "tr", "ru", "ar", None]):  # the last is the second row's padding
        (record,) = routed(attached, arguments)
    assert record.rows.tolist() == [0, 0, 1, 3]
    assert record.item_languages() == ["en", "en", "tr", "ar"]
    with attached.languages(["en", "tr"]), pytest.raises(pa.ParrotError, match="2 languages"):
        attached.model(**arguments)


@given(st.lists(st.lists(st.integers(0, 3), min_size=6, max_size=6), min_size=1, max_size=3))
def test_sequences_are_those_that_transformers_keeps_apart(rows: list[list[int]]) -> None:
    positions = torch.tensor(rows)
    theirs = find_packed_sequence_indices(positions)
    found = Sequences.seen_by_host({"position_ids": positions, "input_ids": positions})
    assert (found is None) == (theirs is None)
    if found is not None:
        before = torch.cat([torch.zeros(1, dtype=torch.int64), (theirs[:-1, -1] + 1).cumsum(0)])
        assert torch.equal(found.number, theirs + before[:, None])


def test_padding_is_a_sequence_in_no_language() -> None:
    segments = torch.tensor([[0, 0, 1, -1], [2, 2, 2, 2], [3, -1, -1, -1]])
    assert sequence_languages(["en", "tr", None, "ar"], segments) == ["en", "tr", None, None, "ar", None]


def test_a_batch_of_another_library(routed) -> None:
    """Positions that begin anew are all it takes: no collator or trainer of ours."""
    family = FAMILIES["llava"]
    handle = awake(pa.attach(family.build(), ADAPTER))
    one, other = family.batch([SAMPLES[0]]), family.batch([SAMPLES[3]])
    call = {
        "input_ids": torch.cat([one["input_ids"], other["input_ids"]], 1),
        "position_ids": torch.cat([torch.arange(one["input_ids"].shape[1]), torch.arange(other["input_ids"].shape[1])])[
            None
        ],
        "pixel_values": torch.cat([one["pixel_values"], other["pixel_values"]]),
        "use_cache": False,
    }
    (record,) = routed(handle, call)
    wanted = torch.cat([routed(handle, one)[0].weights, routed(handle, other)[0].weights])
    assert_close(record.weights, wanted, rtol=1e-4, atol=1e-5)
    embeds = handle.model.get_input_embeddings()(call.pop("input_ids"))
    (by_embedding,) = routed(handle, call | {"inputs_embeds": embeds})
    assert_close(by_embedding.weights, wanted, rtol=1e-4, atol=1e-5)


def test_positions_that_go_on_are_one_prompt(routed) -> None:
    family = FAMILIES["llava"]
    handle = awake(pa.attach(family.build(), ADAPTER))
    inputs = family.batch([SAMPLES[0], SAMPLES[0]])
    positions = torch.arange(inputs["input_ids"].shape[1])[None] + 5
    bare = {k: v for k, v in inputs.items() if k != "attention_mask"}
    (given_,) = routed(handle, bare | {"position_ids": positions, "use_cache": False})
    (plain,) = routed(handle, inputs)
    assert torch.equal(given_.rows, plain.rows)
    assert_close(given_.weights, plain.weights, rtol=1e-4, atol=1e-5)


def test_behind_the_end_of_a_sequence_nothing_is_a_label() -> None:
    ids = torch.tensor([[11, 12, 13, 21, 22], [31, 41, 42, 43, 44]])
    positions = torch.tensor([[0, 1, 2, 0, 1], [0, 0, 1, 2, 3]])
    call, labels = read_apart({"input_ids": ids, "position_ids": positions}, ids)
    assert call["input_ids"].tolist() == [[11, 12, 13, 0], [21, 22, 0, 0], [31, 0, 0, 0], [41, 42, 43, 44]]
    assert call["attention_mask"].sum(1).tolist() == [3, 2, 1, 4]
    assert labels is not None
    assert labels.tolist() == call["input_ids"].masked_fill(call["attention_mask"] == 0, IGNORED).tolist()
