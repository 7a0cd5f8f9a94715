"""Which positions of a prompt are text, whatever shape the mask has in which a host is told; and how units are cut."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from miniatures import ADAPTER, BOS, FAMILIES, IMAGE, Image
from miniatures.prompts import PAD
from torch import Tensor

import parrot_adapters as pa
from parrot_adapters.errors import PlaceholderError
from parrot_adapters.hosts.chat_format import ChatFormat
from parrot_adapters.hosts.read_prompt import TextScope, read_prompt
from parrot_adapters.hosts.routing_units import find_units

FAMILY = FAMILIES["llava"]
SCOPE = TextScope("reference", ChatFormat(), ())
PROMPTS = [[BOS, 20, Image(0), 21, 22, 23], [BOS, 30, Image(1)]]


def whole(mask: Tensor) -> Tensor:
    """(R, S) -> (R, 1, S, S) bool, what each query of a causal model may look at."""
    size = mask.shape[1]
    return torch.ones(size, size).tril().bool() & mask[:, None, None, :].bool()


def additive(mask: Tensor) -> Tensor:
    return torch.zeros(mask.shape).masked_fill(~mask, torch.finfo(torch.float32).min)


def masks(mask: Tensor) -> dict[str, object]:
    """One mask in every form that a host's forward is given it."""
    keys = torch.nn.functional.pad(whole(mask), (0, 4))  # of a static cache, longer than what is in it
    return {
        "whole": whole(mask),
        "additive": additive(whole(mask)),
        "static cache": keys,
        "static cache, additive": additive(keys),
        "by layer": {"sliding_attention": torch.zeros_like(mask), "full_attention": additive(whole(mask))},
        "a prefix is cached": torch.cat([torch.ones(len(mask), 3, dtype=mask.dtype), mask], 1),
        "one for all rows": whole(mask[:1]),
    }


@pytest.fixture(scope="module")
def parts():
    return pa.attach(FAMILY.build(), ADAPTER).parts


@pytest.mark.parametrize("form", masks(torch.ones(1, 2)))
def test_masks_of_any_form_leave_the_same_text(parts, form: str) -> None:
    inputs = FAMILY.batch(PROMPTS[:1] if form == "one for all rows" else PROMPTS, padding="left")
    ids = inputs["input_ids"]
    wanted = [[i for i in prompt if isinstance(i, int)] for prompt in PROMPTS[: len(ids)]]
    given_mask = masks(inputs["attention_mask"])[form]
    found = read_prompt(parts, {"input_ids": ids, "attention_mask": given_mask}, SCOPE).routing_text
    assert [row[kept].tolist() for row, kept in zip(ids, found, strict=True)] == wanted


def test_of_equal_embeddings_the_placeholders_is_meant() -> None:
    """Rows of a table that nobody trained may all be alike."""
    parts = pa.attach(FAMILY.build(), ADAPTER).parts
    inputs, table = FAMILY.batch(PROMPTS, padding="left"), parts.base.get_input_embeddings()
    with torch.no_grad():
        table.weight[[BOS, PAD]] = table.weight[IMAGE].clone()
    ids = inputs["input_ids"]
    for special in ((BOS, PAD), (PAD, BOS)):
        scope = TextScope("reference", ChatFormat(), special)
        given = {"inputs_embeds": table(ids), "attention_mask": inputs["attention_mask"]}
        found = read_prompt(parts, given, scope).placeholders["image"]
        assert torch.equal(found, (ids == IMAGE) | (ids == BOS) | (ids == PAD))


def slowly(sizes: list[int], rows: list[list[bool]], unit: str) -> list[tuple[int, int, int]]:
    """(first token, row, item) of each unit, token by token."""
    places = [(r, c) for r, row in enumerate(rows) for c, there in enumerate(row) if there]
    items = [number for number, size in enumerate(sizes) for _ in range(size)]
    found = []
    for token, ((row, column), item) in enumerate(zip(places, items, strict=True)):
        before = places[token - 1] if token else None
        same_row = before is not None and before[0] == row
        same_item = token > 0 and items[token - 1] == item
        goes_on = {
            "row": same_row,
            "item": same_row and same_item,
            "run": same_row and same_item and before == (row, column - 1),
        }[unit]
        if not goes_on:
            found.append((token, row, item))
    return found


@given(st.data(), st.sampled_from(["row", "item", "run"]))
def test_units_are_cut_as_a_walk_would_cut_them(data: st.DataObject, unit: str) -> None:
    width = data.draw(st.integers(1, 7))
    rows = data.draw(st.lists(st.lists(st.booleans(), min_size=width, max_size=width), min_size=1, max_size=3))
    left, sizes = sum(map(sum, rows)), list[int]()
    while left:
        sizes.append(data.draw(st.integers(1, left)))
        left -= sizes[-1]
    units = find_units(sizes, torch.tensor(rows), unit)
    found = list(zip(units.offsets[:-1].tolist(), units.rows.tolist(), units.items.tolist(), strict=True))
    assert found == slowly(sizes, rows, unit)
    assert units.offsets[-1] == sum(sizes)
    with pytest.raises(PlaceholderError):
        find_units([*sizes, 1], torch.tensor(rows), unit)
