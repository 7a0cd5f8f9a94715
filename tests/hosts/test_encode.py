"""``handle.encode``: the vectors that forward puts in the place of its placeholders, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from miniatures import ADAPTER, PROMPTS, Family, Image, Video
from torch import Tensor, nn

import parrot_adapters as pa
from parrot_adapters.errors import ConfigError, HostError, PlaceholderError


class Reached(Exception):
    """The language model was entered."""


def entered_with(handle: pa.Attachment, inputs: dict[str, Any]) -> Tensor:
    """The embeddings (R, S, D) with which forward enters the language model: first module that is given them."""
    kept: list[Tensor] = []

    def keep(module: nn.Module, args: Any, kwargs: dict[str, Any]) -> None:
        kept.append(kwargs["inputs_embeds"])
        raise Reached

    language_model = handle.parts.module(handle.parts.language_model)
    hook = language_model.register_forward_pre_hook(keep, with_kwargs=True)
    with torch.no_grad(), pytest.raises(Reached):
        handle.model(**inputs)
    hook.remove()
    return kept[0]


def scattered(handle: pa.Attachment, inputs: dict[str, Any], modality: str = "image") -> Tensor:
    """(N, D) what stands at the placeholders of a modality."""
    return entered_with(handle, inputs)[inputs["input_ids"] == handle.parts.encoders[modality].token_id]


def same(found: list[Tensor], wanted: Tensor) -> bool:
    return torch.equal(torch.cat(found), wanted)


def test_they_are_what_forward_scatters(attached, inputs) -> None:
    """Bitwise: the same code on the same batch."""
    with torch.no_grad():
        found = attached.encode(**inputs)
        wanted = scattered(attached, inputs)
        with attached.disabled():
            bare, bare_wanted = attached.encode(**inputs), scattered(attached, inputs)
    assert found.keys() == {"image", "video"}
    assert found["video"] == []
    assert same(found["image"], wanted)
    assert same(bare["image"], bare_wanted)
    assert not same(found["image"], bare_wanted)
    with attached.record_routing() as log, torch.no_grad():
        attached.encode(**inputs)
    assert [len(item) for item in found["image"]] == log[0].offsets.diff().tolist()


ONLY_SOME = ("llava", "qwen2_5_vl", "llava_next", "llava_onevision", "idefics3")


@pytest.mark.parametrize("family", ONLY_SOME, indirect=True)
def test_items_are_pictures_in_placeholder_order(attached, family: Family) -> None:
    """Of sizes of their own, newline tokens included, however rows are padded."""
    prompts = [PROMPTS[2], PROMPTS[0], PROMPTS[1]]
    with torch.no_grad():
        for padding in ("left", "right"):
            found = attached.encode(**family.batch(prompts, padding=padding, min_length=90))["image"]
            assert len(found) == 3
            for number, (row, place) in enumerate([(0, 0), (0, 1), (1, 0)]):
                alone = attached.encode(**family.batch([PROMPTS[row]]))["image"][place]
                assert torch.allclose(found[number], alone, atol=1e-5)


@pytest.mark.parametrize("family", ["qwen2_5_vl"], indirect=True)
def test_videos(attached, family: Family) -> None:
    inputs = family.batch([[20, Video(0), 21], [22, Image(3), 23]])
    with torch.no_grad():
        found = attached.encode(**inputs)
    for modality in ("image", "video"):
        assert len(found[modality]) == 1
        assert same(found[modality], scattered(attached, inputs, modality))


@pytest.mark.parametrize("family", ["llava"], indirect=True)
class TestOnOne:
    def test_the_language_model_is_not_entered(self, attached, inputs) -> None:
        def refuse(*ignored: Any) -> None:
            raise Reached

        attached.parts.module(attached.parts.language_model).register_forward_pre_hook(refuse)
        assert len(attached.encode(**inputs)["image"]) == 3

    def test_gradients_are_the_callers_choice(self, attached, inputs) -> None:
        attached.freeze_host()
        attached.encode(**inputs)["image"][0].sum().backward()
        assert any(p.grad is not None and p.grad.any() for p in attached.parameters())
        with torch.no_grad():
            assert not attached.encode(**inputs)["image"][0].requires_grad

    def test_a_projector_alone_and_the_switch(self, host, inputs) -> None:
        handle = pa.attach_projector(host)
        with torch.no_grad():
            bare = handle.encode(**inputs)["image"]
            for parameter in handle.parameters():
                parameter.mul_(1.5)
            moved = handle.encode(**inputs)["image"]
            assert same(moved, scattered(handle, inputs))
            assert not same(moved, torch.cat(bare))
            handle.disable()
            assert same(handle.encode(**inputs)["image"], torch.cat(bare))
        handle.detach()
        with pytest.raises(HostError, match="detached"):
            handle.encode(**inputs)

    @pytest.mark.parametrize("placement", ["layers", "both"])
    def test_that_experts_inside_the_layers_have_no_part_in_them_is_told(self, host, inputs, placement: str) -> None:
        handle = pa.attach(host, {**ADAPTER, "placement": placement})
        with torch.no_grad():
            for parameter in handle.parameters():
                parameter.add_(0.3)
            with pytest.warns(pa.ParrotWarning, match="nothing of the experts inside"):
                found = torch.cat(handle.encode(**inputs)["image"])
            with handle.disabled():  # nothing to tell: a warning would be an error here
                assert same(handle.encode(**inputs)["image"], found) == (placement == "layers")

    def test_embeddings_labels_and_encoded_images_are_taken_as_forward_takes_them(self, attached, inputs) -> None:
        with torch.no_grad():
            wanted = torch.cat(attached.encode(**inputs)["image"])
            embeds = attached.model.get_input_embeddings()(inputs["input_ids"])
            without = {name: value for name, value in inputs.items() if name != "input_ids"}
            assert same(attached.encode(**without, inputs_embeds=embeds)["image"], wanted)
            encoded = attached.parts.encoders["image"].encode(attached.parts.base, inputs)
            words = {name: value for name, value in inputs.items() if name != "pixel_values"}
            assert same(attached.encode(**words, mm_encoder_outputs={"image": encoded})["image"], wanted)
            labels = inputs["input_ids"].masked_fill(torch.arange(inputs["input_ids"].shape[1]) < 12, -100)
            labelled = attached.encode(**inputs, labels=labels)["image"]
        assert not same(labelled, wanted)
        wanted = scattered(attached, {**inputs, "labels": labels})
        assert same(labelled, wanted)

    def test_no_images(self, attached, family) -> None:
        assert attached.encode(**family.batch([PROMPTS[2]])) == {"image": [], "video": []}

    def test_what_does_not_fit_is_refused(self, attached, inputs) -> None:
        words = {name: value for name, value in inputs.items() if name != "pixel_values"}
        with pytest.raises(PlaceholderError, match="no images were given"):
            attached.encode(**words)
        with pytest.raises(ConfigError, match="needs the prompt"):
            attached.encode(pixel_values=inputs["pixel_values"])
        with pytest.raises(PlaceholderError, match="do not match"):
            attached.encode(**{**inputs, "pixel_values": inputs["pixel_values"][:2]})


@pytest.mark.parametrize("family", ["llava"], indirect=True)
def test_the_oracle_notices_tokens_of_other_rows(attached, inputs) -> None:
    """A double that puts the pictures in another order."""
    with torch.no_grad():
        wanted, found = scattered(attached, inputs), attached.encode(**inputs)["image"]
    assert same(found, wanted)
    assert not same(found[::-1], wanted)
