"""LLaVA's own code, and models of its shape: one placeholder for a whole picture, merged by the model itself."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from miniatures import ADAPTER, awake
from support.llava_code import IGNORED, IMAGE, TOKENS, LlavaCode, batch, llava_code, pictures
from transformers import LlamaForCausalLM

import parrot_adapters as pa
from parrot_adapters.errors import HostError, PlaceholderError, SelfTestError
from parrot_adapters.hosts.call_seam import CallSeam

TWO = [1, 20, 21, IMAGE, 22, IMAGE, 23, 24]
ONE = [1, 30, IMAGE, 31]
NONE = [1, 40, 41, 42]


@pytest.fixture
def host() -> LlavaCode:
    return llava_code()


@pytest.fixture
def inputs() -> dict[str, Any]:
    """Two pictures, one, none (with the stand-in that this code wants); rows of unequal lengths."""
    return batch(TWO, ONE, NONE) | {"images": pictures(0, 1, 2, 9)}


@pytest.fixture
def attached(host: LlavaCode) -> pa.Attachment:
    return awake(pa.attach(host, ADAPTER))


def logits(model: Any, inputs: dict[str, Any]) -> torch.Tensor:
    with torch.no_grad():
        return model(**inputs).logits


def records(handle: pa.Attachment, inputs: dict[str, Any]) -> list[pa.RoutingRecord]:
    with handle.record_routing() as log, torch.no_grad():
        handle.model(**inputs)
    return log


def by_hand(
    handle: pa.Attachment, row: list[int], images: torch.Tensor, answer: list[int] | None = None
) -> torch.Tensor:
    """The bare host on one row, handed pictures that the adapter's module made one by one from the row's words.

    What follows as an answer is not among those words.
    """
    model, module = handle.model, handle.require_module()
    words = torch.tensor([word for word in row if word >= 2])[None]  # no placeholder, no special token
    with handle.disabled(), torch.no_grad():
        text = model.get_input_embeddings()(words)
        made = [
            module(one, torch.tensor([0, len(one)]), torch.tensor([0]), text, torch.ones_like(words, dtype=torch.bool))
            for one in model.encode_images(images)
        ]
        given = torch.stack([one.tokens for one in made])
        own = vars(model).get("encode_images")
        model.encode_images = lambda images: given
        try:
            return model(**batch(row + (answer or [])), images=images).logits[0]
        finally:
            vars(model)["encode_images"] = own


def real(row: list[int]) -> int:
    """Positions of a row once its pictures are in."""
    return len(row) + row.count(IMAGE) * (TOKENS - 1)


def test_it_is_known_by_its_methods(host) -> None:
    handle = pa.attach(host, ADAPTER)
    assert handle.seam == "calls"
    assert handle.projector is host.model.mm_projector
    assert handle.parts.encoders["image"].token_id == IMAGE


def test_attaching_changes_nothing_and_the_self_test_passes(host, inputs) -> None:
    bare = logits(host, inputs)
    handle = pa.attach(host, ADAPTER, self_test=inputs)
    assert torch.equal(logits(host, inputs), bare)
    awake(handle)
    assert not torch.equal(logits(host, inputs), bare)
    with handle.disabled():
        assert torch.equal(logits(host, inputs), bare)
    handle.detach()
    assert torch.equal(logits(host, inputs), bare)
    assert not {"encode_images", "prepare_inputs_labels_for_multimodal"} & set(vars(host))
    assert pa.attachment_of(host) is None


@pytest.mark.parametrize(
    ("unit", "rows", "sizes"), [("item", [0, 0, 1], [TOKENS] * 3), ("row", [0, 1], [2 * TOKENS, TOKENS])]
)
def test_units_are_pictures_or_rows(host, inputs, unit: str, rows: list[int], sizes: list[int]) -> None:
    (record,) = records(pa.attach(host, {**ADAPTER, "host_options": {"unit": unit}}), inputs)
    assert (record.rows.tolist(), record.offsets.diff().tolist()) == (rows, sizes)


@pytest.mark.parametrize("left", [False, True])
def test_every_row_is_what_the_module_makes_of_it_alone(attached, left: bool) -> None:
    attached.model.config.tokenizer_padding_side = "left" if left else "right"
    made = logits(attached.model, batch(TWO, ONE, NONE, left=left) | {"images": pictures(0, 1, 2, 9)})
    for number, (row, images) in enumerate([(TWO, pictures(0, 1)), (ONE, pictures(2))]):
        size = real(row)
        mine = made[number, -size:] if left else made[number, :size]
        torch.testing.assert_close(mine, by_hand(attached, row, images), atol=2e-5, rtol=1e-4)
    with attached.disabled():
        bare = logits(attached.model, batch(NONE) | {"images": pictures(9)})[0]
    last = made[2, -len(NONE) :] if left else made[2, : len(NONE)]
    torch.testing.assert_close(last, bare, atol=2e-5, rtol=1e-4)


def test_an_adapter_that_reads_the_next_row_would_be_seen(attached, monkeypatch) -> None:
    own = CallSeam._units

    def shifted(self: CallSeam, features: Any, call: Any) -> Any:
        units, routed = own(self, features, call)
        return replace(units, rows=units.rows.roll(1)), routed

    monkeypatch.setattr(CallSeam, "_units", shifted)
    with pytest.raises(AssertionError):
        test_every_row_is_what_the_module_makes_of_it_alone(attached, left=False)


def test_pictures_as_a_list_and_with_tiles(attached) -> None:
    prompt = batch(TWO, ONE, NONE)
    stacked = prompt | {"images": pictures(0, 1, 2, 9)}
    listed = prompt | {"images": list(pictures(0, 1, 2, 9))}
    assert torch.equal(logits(attached.model, stacked), logits(attached.model, listed))
    tiles = [pictures(0, 1), pictures(2, 3, 4)[:2], pictures(5, 6), pictures(9, 9)]
    as_list, as_tensor = prompt | {"images": tiles}, prompt | {"images": torch.stack(tiles)}
    assert torch.equal(logits(attached.model, as_list), logits(attached.model, as_tensor))
    [record] = records(attached, as_list)
    assert record.rows.tolist() == [0, 0, 1]  # the stand-in of the last row is nobody's
    assert record.offsets.diff().tolist() == [2 * TOKENS] * 3  # a picture is routed as one, its tiles together
    uneven = records(attached, prompt | {"images": [pictures(0), pictures(1, 2, 3), pictures(4)[0], pictures(9)]})
    assert uneven[0].offsets.diff().tolist() == [TOKENS, 3 * TOKENS, TOKENS]


def test_pictures_in_one_row_only(attached) -> None:
    [record] = records(attached, batch(NONE, TWO, NONE) | {"images": pictures(8, 0, 1, 9)})
    assert record.rows.tolist() == [1, 1]
    assert records(attached, batch(NONE, NONE) | {"images": pictures(8, 9)}) == []
    assert records(attached, batch(NONE, NONE)) == []


def test_wrong_numbers_of_pictures_are_refused(attached) -> None:
    for images in (pictures(0, 1), pictures(0, 1, 2, 3, 4), [pictures(0, 1)]):
        with pytest.raises(PlaceholderError, match=r"do not match the images(.|\n)*per row \[2, 1\]"):
            attached.model(**batch(TWO, ONE), images=images)
    assert len(records(attached, batch(ONE) | {"images": pictures(0)})) == 1  # nothing of the failed calls is left


def test_generate_writes_what_the_prompts_own_pictures_say(attached) -> None:
    rows, images = [[1, 20, IMAGE, 22, IMAGE, 23], [1, 50, IMAGE, IMAGE, 51, 52]], pictures(0, 1, 2, 3)
    prompt = batch(*rows)
    options = {"images": images, "attention_mask": prompt["attention_mask"], "max_new_tokens": 3, "do_sample": False}
    made = attached.model.generate(prompt["input_ids"], **options)
    for number, row in enumerate(rows):
        for step in range(3):
            written = made[number, :step].tolist()
            here = by_hand(attached, row, images[2 * number : 2 * number + 2], written)
            assert here[-1].argmax() == made[number, step]
    with attached.disabled():
        assert not torch.equal(attached.model.generate(prompt["input_ids"], **options), made)


def test_labels_end_the_prompt(attached) -> None:
    """What is answered does not steer, in training as in use."""
    prompt = batch([1, 20, 21, IMAGE, 22])
    longer = batch([1, 20, 21, IMAGE, 22, 70, 71])
    labels = torch.tensor([[IGNORED] * 5 + [70, 71]])
    [asked] = records(attached, prompt | {"images": pictures(0)})
    [taught] = records(attached, longer | {"images": pictures(0), "labels": labels})
    [read] = records(attached, longer | {"images": pictures(0)})
    torch.testing.assert_close(taught.weights, asked.weights)
    assert not torch.allclose(read.weights, asked.weights)


def test_training_reaches_adapter_and_projector_and_nothing_else(host, inputs) -> None:
    handle = pa.attach(host, ADAPTER, train_projector=True)
    labels = inputs["input_ids"].masked_fill(inputs["input_ids"] < 1, IGNORED)
    host.train()
    optimiser = torch.optim.AdamW(handle.parameters(), lr=1e-2)
    losses = []
    for _ in range(8):
        loss = host(**inputs, labels=labels).loss
        losses.append(loss.item())
        loss.backward()
        assert {name for name, p in host.named_parameters() if p.grad is not None} == {
            name for name, p in host.named_parameters() if "parrot_adapter" in name or "mm_projector" in name
        }
        optimiser.step()
        optimiser.zero_grad()
    assert losses[-1] < losses[0] - 0.1
    handle.module.zero_grad()
    text = batch(NONE, NONE) | {"labels": torch.tensor([NONE, NONE])}
    host(**text).loss.backward()  # a rank without pictures has a step too
    assert all(parameter.grad is not None for parameter in handle.module.parameters())


def test_copies_and_files(attached, inputs, tmp_path) -> None:
    model = attached.model
    pickled = pickle.loads(pickle.dumps(model))
    made = logits(model, inputs)
    assert torch.equal(logits(pickled, inputs), made)
    twin = copy.deepcopy(model)
    own = pa.attachment_of(twin)
    assert own is not attached
    own.detach()
    assert torch.equal(logits(model, inputs), made)
    assert not torch.equal(logits(twin, inputs), made)
    attached.save_pretrained(tmp_path / "adapter")
    other = llava_code()
    pa.load_adapter(other, tmp_path / "adapter", strict=True)
    assert torch.equal(logits(other, inputs), made)
    model.save_pretrained(tmp_path / "host")
    again = LlavaCode.from_pretrained(tmp_path / "host").eval()
    with attached.disabled():
        assert torch.equal(logits(again, inputs), logits(model, inputs))


def test_lora_and_projector_are_given_back(host, inputs, tmp_path) -> None:
    bare = logits(host, inputs)
    handle = awake(pa.attach(host, ADAPTER, train_projector=True, lora={"r": 2}))
    with torch.no_grad():
        for parameter in handle.parameters():
            parameter.add_(0.01)
    made = logits(host, inputs)
    handle.save_pretrained(tmp_path)
    with handle.disabled():
        assert torch.equal(logits(host, inputs), bare)
    handle.detach()
    assert torch.equal(logits(host, inputs), bare)
    pa.load_adapter(host, tmp_path)
    assert torch.equal(logits(host, inputs), made)


def test_experts_inside_the_layers_are_refused_before_anything_is_touched(host) -> None:
    before = set(host.state_dict()), set(vars(host))
    with pytest.raises(HostError, match="merges them by itself"):
        pa.attach(host, {**ADAPTER, "placement": "layers"})
    assert (set(host.state_dict()), set(vars(host))) == before


@torch.no_grad()
def test_encode_gives_what_is_woven_into_the_prompt(attached, inputs) -> None:
    """Two pictures and one; the stand-in of the row without is nobody's."""
    for images in (inputs["images"], [pictures(0, 1), pictures(2)[0], pictures(3, 4, 5), pictures(9)]):
        given = inputs | {"images": images}
        found = attached.encode(**given)["image"]
        *_, embeds, _ = attached.model.prepare_inputs_labels_for_multimodal(
            given["input_ids"], None, given["attention_mask"], None, None, images
        )
        sizes = [len(each) * TOKENS if each.dim() == 4 else TOKENS for each in images][:3]
        assert [len(item) for item in found] == sizes
        assert torch.equal(found[0], embeds[0, 3 : 3 + sizes[0]])
        assert torch.equal(found[1], embeds[0, 4 + sizes[0] : 4 + sizes[0] + sizes[1]])
        assert torch.equal(found[2], embeds[1, 2 : 2 + sizes[2]])
    assert attached.encode(**batch(NONE, NONE), images=pictures(8, 9)) == {"image": [], "video": []}


# --- strangers of the same shape ------------------------------------------------------------------------------------


class Strange(LlavaCode):
    """The same, with other names, no method of LLaVA's and another placeholder."""

    encode_images = None
    prepare_inputs_labels_for_multimodal = None

    def look(self, pixels: torch.Tensor) -> torch.Tensor:
        return LlavaCode.encode_images(self, pixels)

    def weave(self, input_ids: Any, mask: Any, labels: Any, images: Any) -> tuple[Any, ...]:
        self.__dict__["encode_images"] = self.look
        made = LlavaCode.prepare_inputs_labels_for_multimodal(
            self, input_ids.masked_fill(input_ids == -7, IMAGE), None, mask, None, labels, images
        )
        del self.__dict__["encode_images"]
        return made[2], made[4], made[5]

    def forward(
        self, input_ids: Any = None, attention_mask: Any = None, labels: Any = None, images: Any = None, **more
    ):
        if images is not None:
            attention_mask, more["inputs_embeds"], labels = self.weave(input_ids, attention_mask, labels, images)
            input_ids = None
        return LlamaForCausalLM.forward(self, input_ids, attention_mask, labels=labels, **more)

    def generate(self, inputs: Any = None, images: Any = None, attention_mask: Any = None, **more: Any) -> Any:
        mask, embeds, _ = self.weave(inputs, attention_mask, None, images)
        return super(LlavaCode, self).generate(attention_mask=mask, inputs_embeds=embeds, **more)


SPEC: dict[str, Any] = {
    "encoder_calls": ("look",),
    "prompt_calls": ("weave",),
    "pixels": ("images",),
    "placeholder": -7,
    "placeholder_holds": "picture",
    "projector": ("mm_projector",),
    "vision_tower": ("vision_tower",),
    "language_model": ("layers",),
}


@pytest.fixture
def strange(host) -> Strange:
    host.__class__ = Strange
    return host


@pytest.fixture
def strange_inputs(inputs) -> dict[str, Any]:
    return inputs | {"input_ids": inputs["input_ids"].masked_fill(inputs["input_ids"] == IMAGE, -7)}


@pytest.fixture
def declared() -> Iterator[None]:
    class Plugin:
        @pa.hookimpl
        def register_hosts(self, register: Any) -> None:
            register("strange", pa.HostSpec(model_types=("llava_llama",), **SPEC))

    name = pa.plugins.register(Plugin(), name="strange")
    yield
    pa.plugins.manager.unregister(name)


def test_a_stranger_is_refused_with_what_to_declare(strange) -> None:
    with pytest.raises(HostError, match=r"no get_image_features(.|\n)*encoder_calls"):
        pa.attach(strange, ADAPTER)


def test_a_declaration_by_a_plugin(strange, strange_inputs, declared, tmp_path) -> None:
    handle = awake(pa.attach(strange, ADAPTER, self_test=strange_inputs))
    assert records(handle, strange_inputs)[0].rows.tolist() == [0, 0, 1]
    handle.save_pretrained(tmp_path)
    made = logits(strange, strange_inputs)
    handle.detach()
    pa.load_adapter(strange, tmp_path)
    assert torch.equal(logits(strange, strange_inputs), made)


def test_a_declaration_by_options(strange, strange_inputs, tmp_path) -> None:
    options = {name: list(value) if isinstance(value, tuple) else value for name, value in SPEC.items()}
    handle = awake(pa.attach(strange, {**ADAPTER, "host_options": options}, self_test=strange_inputs))
    handle.save_pretrained(tmp_path)
    made = logits(strange, strange_inputs)
    handle.detach()
    pa.load_adapter(strange, tmp_path)
    assert torch.equal(logits(strange, strange_inputs), made)


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ({"encoder_calls": ("see",)}, "has no see"),
        ({"prompt_calls": ("read",)}, "has no read"),
        ({"encoder_calls": ("__class__",)}, "has no __class__"),
        ({"encoder_calls": ("get_decoder",)}, "no declared call made visual tokens"),
        ({"encoder_calls": ("get_model",)}, "returns no visual tokens"),
        ({"placeholder_holds": "token"}, "do not match the images"),
        ({"placeholder": "no_such_id"}, "looked for.*config.no_such_id"),
    ],
)
def test_wrong_declarations_are_told_apart(strange, strange_inputs, wrong: dict[str, Any], complaint: str) -> None:
    options = {name: list(v) if isinstance(v, tuple) else v for name, v in {**SPEC, **wrong}.items()}
    with pytest.raises((HostError, PlaceholderError), match=complaint):
        pa.attach(strange, {**ADAPTER, "host_options": options}, self_test=strange_inputs)
    assert pa.attachment_of(strange) is None
    assert "parrot_adapter" not in strange.model._modules
    assert not {"look", "weave"} & set(vars(strange))


def test_a_call_that_is_declared_and_not_used_fails_the_self_test(strange, strange_inputs) -> None:
    """A prompt call that only generate makes: dead in forward."""
    options = {
        name: list(v) if isinstance(v, tuple) else v for name, v in {**SPEC, "prompt_calls": ["generate"]}.items()
    }
    with pytest.raises((SelfTestError, HostError)):
        pa.attach(strange, {**ADAPTER, "host_options": options}, self_test=strange_inputs)
