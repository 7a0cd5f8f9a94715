"""A conversation goes on upon the cache of its earlier turns: only the new picture is encoded, and reads as ever."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
import torch
from miniatures import ADAPTER, ASSISTANT, BOS, END_TURN, FAMILIES, TURN, USER, Image, awake, tokenizer
from torch.testing import assert_close

import parrot_adapters as pa
from parrot_adapters.hosts.key_value_cache import cache_argument, made_cache

ASKED = [BOS, TURN, USER, 20, Image(0), 21, END_TURN, TURN, ASSISTANT, 50, 51, END_TURN]
AGAIN = [TURN, USER, 30, Image(1), 31, END_TURN, TURN, ASSISTANT]


@pytest.mark.parametrize(
    ("name", "placement", "named"),
    [
        ("llava", "projector", False),
        ("gemma3", "projector", False),
        ("llava", "both", False),
        ("llava", "projector", True),
    ],
)
def test_a_second_turn_with_a_picture_of_its_own(name: str, placement: str, named: bool, decode) -> None:
    family = FAMILIES[name]
    handle = awake(pa.attach(family.build(), {**ADAPTER, "placement": placement}, processor=tokenizer()))
    whole, earlier = family.batch([[*ASKED, *AGAIN]]), family.batch([ASKED])
    by_row = handle.adapter_names(["default"]) if named else nullcontext()
    with by_row, handle.record_routing() as log:
        expected = decode(handle.model, whole)
        with torch.no_grad():
            cache = made_cache(handle.model(**earlier, use_cache=True))
        pixels = {key: value[1:] for key, value in whole.items() if key.startswith("pixel_values")}
        found = decode(handle.model, whole | pixels | {cache_argument(handle.model.forward): cache})
    together, _, alone = log
    assert (len(together.weights), len(alone.weights)) == (2, 1)
    assert_close(alone.logits, together.logits[1:])
    assert torch.equal(found.sequences, expected.sequences)
    for mine, other in zip(found.logits, expected.logits, strict=True):
        assert_close(mine, other, rtol=1e-3, atol=1e-4)
