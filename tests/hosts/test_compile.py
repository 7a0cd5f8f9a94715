"""``torch.compile`` of an attached host: as few graphs as the bare host has, and the same answers."""

from __future__ import annotations

from collections.abc import Iterator
from inspect import signature
from typing import Any

import pytest
import torch
from miniatures import PROMPTS, Image
from support.compiled_hosts import LLAVA, answer, attached
from torch._dynamo.testing import CompileCounter
from torch.testing import assert_close
from transformers import DynamicCache

# Compiling a host takes seconds, so the default run has one placement of each test, the one that does most.
PLACEMENTS = [pytest.param(name, marks=pytest.mark.slow) for name in ("projector", "layers")] + ["both"]
pytestmark = pytest.mark.filterwarnings("ignore:Dynamo detected a call to a:UserWarning:transformers")


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


@pytest.fixture(params=PLACEMENTS)
def model(request: pytest.FixtureRequest) -> Any:
    """A host that carries an adapter of this placement."""
    return attached(request.param).model


def text_only(*lengths: int) -> dict[str, Any]:
    return LLAVA.batch([[1, *range(20, 20 + length)] for length in lengths])


def decode_step(model: Any) -> dict[str, Any]:
    inputs, name = (
        LLAVA.batch(PROMPTS),
        "cache" if "cache" in signature(model.forward).parameters else "past_key_values",
    )
    cache = {name: DynamicCache(config=model.config.get_text_config()), "use_cache": True}
    answer(model, inputs | cache)
    mask = torch.nn.functional.pad(inputs["attention_mask"], (0, 1), value=1)
    ids = torch.full((len(mask), 1), 30)
    return {"input_ids": ids, "attention_mask": mask, **cache}


def graphs(model: Any, inputs: dict[str, Any]) -> int:
    torch._dynamo.reset()
    counter = CompileCounter()
    answer(torch.compile(model, backend=counter), inputs)
    return int(counter.frame_count)


def test_text_and_decoding_are_one_graph(model) -> None:
    for inputs in (text_only(11, 8), decode_step(model)):
        torch._dynamo.reset()
        answer(torch.compile(model, backend="eager", fullgraph=True), inputs)


def check_pictures(model: Any) -> None:
    bare, inputs = LLAVA.build(), LLAVA.batch(PROMPTS)
    answer(bare, inputs)
    assert graphs(model, inputs) <= graphs(bare, inputs) + 2


@pytest.mark.slow  # of bare and attached host, so the longest test of all
def test_pictures_take_two_graphs_more_at_most(model) -> None:
    check_pictures(model)


def check_answers(model: Any, backend: str) -> None:
    one, two = LLAVA.batch(PROMPTS), LLAVA.batch([[1, 40, Image(3), 41, 42, Image(4)], [1, *range(20, 40)], PROMPTS[0]])
    expected = [answer(model, inputs) for inputs in (one, text_only(5), two, one)]
    compiled = torch.compile(model, backend=backend)
    for inputs, wanted in zip((one, text_only(5), two, one), expected, strict=True):
        assert_close(answer(compiled, inputs), wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_the_same_answers(model) -> None:
    check_answers(model, "aot_eager")


@pytest.mark.slow
@pytest.mark.parametrize("model", ["layers"], indirect=True)
def test_a_layer_compiled_by_itself(model) -> None:
    """As regional compilation does it: the host's own code is not compiled."""
    inputs = LLAVA.batch(PROMPTS)
    expected = [answer(model, batch) for batch in (inputs, text_only(4, 9), inputs)]
    for layer in model.base_model.language_model.layers:
        layer.compile(backend="eager")
    for batch, wanted in zip((inputs, text_only(4, 9), inputs), expected, strict=True):
        assert_close(answer(model, batch), wanted, rtol=1e-4, atol=1e-5)
