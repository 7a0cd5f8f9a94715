"""A compiled host whose prompts change: one that carries an adapter is compiled again only where the bare one is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from inspect import signature
from typing import Any

import pytest
import torch
from miniatures import FAMILIES, PROMPTS, Family, Image
from support.compiled_hosts import LLAVA, answer, attached, graphs_after_each
from torch._dynamo.utils import counters
from transformers import CompileConfig, DynamicCache

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:Dynamo detected a call to a:UserWarning:transformers"),
]

LENGTHS = ((11, 8), (5, 9, 3), (14, 3))
OTHER_PICTURES = [[1, 40, Image(3), 41, 42, Image(4), 43], PROMPTS[0]]


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def texts(family: Family, model: Any) -> list[dict[str, Any]]:
    """Other lengths, other numbers of rows."""
    return [family.batch([[1, *range(20, 20 + length)] for length in lengths]) for lengths in LENGTHS]


def pictures(family: Family, model: Any) -> list[dict[str, Any]]:
    """Other numbers of rows and images."""
    return [family.batch(prompts) for prompts in (PROMPTS, OTHER_PICTURES)]


def decode_steps(family: Family, model: Any) -> list[dict[str, Any]]:
    """Two steps behind each of two prompts."""
    name, steps = "cache" if "cache" in signature(model.forward).parameters else "past_key_values", []
    for prompts in (PROMPTS, PROMPTS[:1]):
        inputs = family.batch(prompts)
        cached = {name: DynamicCache(config=model.config.get_text_config()), "use_cache": True}
        answer(model, inputs | cached)
        masks = [torch.nn.functional.pad(inputs["attention_mask"], (0, added), value=1) for added in (1, 2)]
        steps += [{"input_ids": torch.full((len(mask), 1), 30), "attention_mask": mask, **cached} for mask in masks]
    return steps


def check_as_the_bare_host(found: list[int], bare: list[int], *, more: int) -> None:
    """Nothing is compiled where the bare host is not; where it is, there are at most ``more`` graphs more."""
    before = (0, 0)
    for both in zip(found, bare, strict=True):
        ours, theirs = both[0] - before[0], both[1] - before[1]
        assert ours <= (theirs + more if theirs else 0), f"attached {found}, bare {bare}"
        before = both


@pytest.mark.parametrize(
    ("family", "asked", "more", "dynamic"),
    [
        (LLAVA, texts, 0, True),
        (LLAVA, decode_steps, 0, None),
        (LLAVA, pictures, 2, None),
        (FAMILIES["qwen2_5_vl"], texts, 0, None),
    ],
    ids=["text, dynamic", "decoding", "pictures", "text to Qwen"],
)
def test_it_is_compiled_again_only_where_the_bare_host_is(
    family: Family, asked: Callable[..., Any], more: int, dynamic: bool | None
) -> None:
    bare, model = family.build(), attached("both", family).model
    answer(bare, family.batch(PROMPTS))
    expected = graphs_after_each(bare, asked(family, bare), dynamic=dynamic)
    check_as_the_bare_host(graphs_after_each(model, asked(family, model), dynamic=dynamic), expected, more=more)


def test_a_hook_that_asks_for_the_length_is_caught() -> None:
    """A broken double, whose graphs hold for some lengths only."""
    bare, model = LLAVA.build(), attached("projector").model
    answer(bare, LLAVA.batch(PROMPTS))

    def curious(module: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        return args, kwargs | {"use_cache": int(kwargs["input_ids"].shape[1]) in (12, 15)}

    model.register_forward_pre_hook(curious, with_kwargs=True)
    expected = graphs_after_each(bare, texts(LLAVA, bare))
    with pytest.raises(AssertionError, match="attached"):
        check_as_the_bare_host(graphs_after_each(model, texts(LLAVA, model)), expected, more=0)


def test_generate_with_a_static_cache_compiles_its_decode_steps_once() -> None:
    """As ``generate`` does by itself on a GPU."""
    model, inputs = attached("both").model.eval(), LLAVA.batch(PROMPTS)
    settings: dict[str, Any] = {"max_new_tokens": 5, "min_new_tokens": 5, "do_sample": False, "pad_token_id": 0}
    expected = model.generate(**inputs, **settings)
    compiling = CompileConfig(backend="eager", fullgraph=True, mode=None, dynamic=None)
    compiling._compile_all_devices = True
    counters.clear()
    found = model.generate(**inputs, cache_implementation="static", compile_config=compiling, **settings)
    assert torch.equal(found, expected)
    assert counters["stats"]["unique_graphs"] == 1
