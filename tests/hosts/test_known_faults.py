"""What we call a host's own fault happens to the bare host as well, and nothing else is excused."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from miniatures import FAMILIES, PROMPTS, Family
from torch.testing import assert_close


def beams(model: Any, inputs: dict[str, Any], decode: Any) -> None:
    made = decode(model, inputs, num_beams=2)
    with torch.no_grad():
        first = model(**inputs).logits[:, -1]
    assert_close(made.logits[0], first.repeat_interleave(2, 0), rtol=1e-3, atol=1e-4)


def several_answers(model: Any, inputs: dict[str, Any], decode: Any) -> None:
    decode(model, inputs, do_sample=True, num_return_sequences=2)


def chunked_prefill(model: Any, inputs: dict[str, Any], decode: Any) -> None:
    decode(model, inputs, prefill_chunk_size=5)


def generating_from_embeddings(model: Any, inputs: dict[str, Any], decode: Any) -> None:
    embeds = model.get_input_embeddings()(inputs.pop("input_ids")).detach()
    decode(model, inputs | {"inputs_embeds": embeds})


DEMANDS = {
    f"test_{demand.__name__}": demand
    for demand in (beams, several_answers, chunked_prefill, generating_from_embeddings)
}
FAULTS = [(family, test) for family in FAMILIES.values() for test in family.known]


@pytest.mark.parametrize(("faulty", "test"), FAULTS, ids=[f"{family.name}-{test}" for family, test in FAULTS])
def test_the_bare_host_fails_too(faulty: Family, test: str, decode: Any) -> None:
    with pytest.raises((AssertionError, ValueError, TypeError, KeyError)):
        DEMANDS[test](faulty.build(), faulty.batch(PROMPTS), decode)
