"""``torch.compile`` of an attached host: as few graphs as the bare host has, the same answers, few compilations."""

from __future__ import annotations

from collections.abc import Iterator
from inspect import signature
from typing import Any

import pytest
import torch
from miniatures import ADAPTER, FAMILIES, PROMPTS, Image, awake
from torch._dynamo.testing import CompileCounter
from torch.testing import assert_close
from transformers import DynamicCache

import parrot_adapters as pa
from parrot_adapters.hosts.seam import NativeSeam
from parrot_adapters.hosts.visual_tokens import RunningCalls

PLACEMENTS = ["projector", "layers", "both"]
LLAVA = FAMILIES["llava"]

pytestmark = pytest.mark.filterwarnings("ignore:Dynamo detected a call to a:UserWarning:transformers")


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


@pytest.fixture(params=PLACEMENTS)
def model(request: pytest.FixtureRequest) -> Any:
    """A host that carries an adapter of this placement, and has run once: transformers sets something up then."""
    options = ADAPTER if request.param == "projector" else {**ADAPTER, "placement": request.param, "layer_rank": 2}
    made = awake(pa.attach(LLAVA.build(), options)).model
    answer(made, LLAVA.batch(PROMPTS))
    return made


def answer(model: Any, inputs: dict[str, Any]) -> torch.Tensor:
    with torch.no_grad():
        logits: torch.Tensor = model(**inputs).logits
    return logits


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


def test_pictures_take_two_graphs_more_at_most(model) -> None:
    check_pictures(model)


@pytest.mark.parametrize("model", ["layers"], indirect=True)
def test_a_look_inside_another_frame_is_caught(model, monkeypatch) -> None:
    """The double reads the prompt, looks at the device and runs the adapter one call further down."""

    def align_below(self: NativeSeam, module: Any, args: Any, kwargs: Any) -> Any:
        call = self._image_call(module, args, kwargs)
        return None if call is None else ((), call | {"mm_encoder_outputs": self._all_of_it(call)})  # type: ignore[attr-defined]

    def all_of_it(self: NativeSeam, call: Any) -> Any:
        return self.align_outputs(call["mm_encoder_outputs"], call, None)

    monkeypatch.setattr(NativeSeam, "_all_of_it", all_of_it, raising=False)
    monkeypatch.setattr(NativeSeam, "before_forward", align_below)
    model.base_model._forward_pre_hooks.clear()
    model.base_model.register_forward_pre_hook(pa.attachment_of(model).native_seam.before_forward, with_kwargs=True)
    with pytest.raises(AssertionError):
        check_pictures(model)


def check_answers(model: Any, backend: str) -> None:
    one, two = LLAVA.batch(PROMPTS), LLAVA.batch([[1, 40, Image(3), 41, 42, Image(4)], [1, *range(20, 40)], PROMPTS[0]])
    expected = [answer(model, inputs) for inputs in (one, text_only(5), two, one)]
    compiled = torch.compile(model, backend=backend)
    for inputs, wanted in zip((one, text_only(5), two, one), expected, strict=True):
        assert_close(answer(compiled, inputs), wanted, rtol=1e-4, atol=1e-5)


def test_the_same_answers(model) -> None:
    check_answers(model, "eager")


@pytest.mark.slow
def test_the_same_answers_of_graphs_that_were_traced_further(model) -> None:
    check_answers(model, "aot_eager")


@pytest.mark.parametrize("model", ["layers"], indirect=True)
def test_layers_that_are_not_told_are_caught(model, monkeypatch) -> None:
    monkeypatch.setattr(RunningCalls, "_innermost", lambda self: None)
    bare = answer(model, LLAVA.batch(PROMPTS))
    monkeypatch.undo()
    assert not torch.allclose(answer(model, LLAVA.batch(PROMPTS)), bare, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("model", ["projector", "both"], indirect=True)
def test_other_prompts_do_not_compile_without_end(model) -> None:
    """Once sizes have changed they are free: the third to the sixth length compile nothing."""
    counter = CompileCounter()
    compiled = torch.compile(model, backend=counter)
    seen = []
    for extra in range(6):
        answer(compiled, LLAVA.batch([[*prompt, *range(30, 30 + 3 * extra)] for prompt in PROMPTS]))
        seen.append(int(counter.frame_count))
    assert seen[2:] == [seen[2]] * 4, seen


@pytest.mark.parametrize("model", ["layers"], indirect=True)
def test_a_layer_compiled_by_itself(model) -> None:
    """As regional compilation does it: the host's own code is not compiled."""
    inputs = LLAVA.batch(PROMPTS)
    expected = [answer(model, batch) for batch in (inputs, text_only(4, 9), inputs)]
    for layer in model.base_model.language_model.layers:
        layer.compile(backend="eager")
    for batch, wanted in zip((inputs, text_only(4, 9), inputs), expected, strict=True):
        assert_close(answer(model, batch), wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("model", ["projector"], indirect=True)
def test_languages_and_records_of_a_compiled_call(model) -> None:
    handle, inputs = pa.attachment_of(model), LLAVA.batch(PROMPTS)
    with handle.record_routing() as plain:
        answer(model, inputs)
    compiled = torch.compile(model, backend="eager")
    with handle.record_routing() as log, handle.languages(["tr", "en", None]):
        answer(compiled, inputs)
    answer(compiled, inputs)
    assert [record.languages for record in log] == [("tr", "en", None)]
    assert_close(log[0].weights, plain[0].weights)
    with handle.disabled():
        bare = answer(model, inputs)
        assert_close(answer(compiled, inputs), bare)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")
@pytest.mark.parametrize("recomputed", [False, True])
def test_compiled_training_has_the_same_gradients(model, recomputed: bool) -> None:
    if recomputed:
        getattr(model, "activation_checkpointing_enable", model.gradient_checkpointing_enable)()
    handle, inputs = pa.attachment_of(model), LLAVA.batch(PROMPTS)
    found = []
    for called in (model, torch.compile(model, backend="aot_eager")):
        model.train().zero_grad()
        called(**inputs).logits.square().mean().backward()
        found.append({n: p.grad.clone() for n, p in handle.module.named_parameters() if p.grad is not None})
    assert found[0].keys() == found[1].keys() != set()
    for name, gradient in found[0].items():
        assert_close(found[1][name], gradient, rtol=1e-3, atol=1e-5)
