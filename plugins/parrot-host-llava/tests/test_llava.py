"""The CLS summary on random-weight miniatures of every LLaVA family."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import parrot_host_llava
import pytest
import torch
import transformers
from torch import Tensor

import parrot_adapters as pa
from parrot_adapters.testing import lively_weights

IMAGE, VIDEO, SIDE, PATCHES, WIDTH = 3, 4, 16, 16, 32
TEXT = {
    "model_type": "llama",
    "vocab_size": 96,
    "hidden_size": WIDTH,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "pad_token_id": 0,
}
CLIP = {
    "model_type": "clip_vision_model",
    "hidden_size": 24,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": SIDE,
    "patch_size": 4,
}
SIGLIP = {**CLIP, "model_type": "siglip_vision_model", "vision_use_head": False}
TILED = {"image_grid_pinpoints": [[SIDE, SIDE], [SIDE, 2 * SIDE]]}
VIDEOS = {"video_token_index": VIDEO}
HOSTS: dict[str, tuple[str, dict[str, Any]]] = {
    "llava": ("Llava", {}),
    "vipllava": ("VipLlava", {"vision_feature_layer": [-1, -2]}),
    "llava_next": ("LlavaNext", TILED),
    "llava_next_video": ("LlavaNextVideo", TILED | VIDEOS),
    "video_llava": ("VideoLlava", VIDEOS),
}
SMALL = pa.AdapterConfig(num_experts=3, expert_hidden_size=16)


def build(name: str, **more: Any) -> Any:
    prefix, options = HOSTS[name]
    settings = {"text_config": TEXT, "vision_config": CLIP, "image_token_index": IMAGE} | options | more
    torch.manual_seed(0)
    model = getattr(transformers, f"{prefix}ForConditionalGeneration")(
        getattr(transformers, f"{prefix}Config")(**settings)
    )
    lively_weights(model)
    model.generation_config.eos_token_id = None
    return model.eval()


def image_inputs(name: str, model: Any) -> dict[str, Tensor]:
    """Two rows, of two images and one; LLaVA-NeXT's second image is wide, so has one tile more."""
    torch.manual_seed(1)
    full = model.config.to_dict().get("vision_feature_select_strategy") == "full"
    lengths, inputs = [PATCHES + full] * 3, {"pixel_values": torch.randn(3, 3, SIDE, SIDE)}
    if "next" in name:
        inputs = {
            "pixel_values": torch.randn(3, 3, 3, SIDE, SIDE),
            "image_sizes": torch.tensor([[SIDE, SIDE], [SIDE, 2 * SIDE], [SIDE, SIDE]]),
        }
        lengths = [16 + 4 * 5, 16 + 4 * 9, 16 + 4 * 5]
    first = [20, *[IMAGE] * lengths[0], 21, *[IMAGE] * lengths[1], 22, 23]
    second = [30, *[IMAGE] * lengths[2], 31, 32]
    pad = len(first) - len(second)
    ids = torch.tensor([first, [0] * pad + second])
    return inputs | {"input_ids": ids, "attention_mask": (ids != 0).long()}


@pytest.fixture(params=HOSTS)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


def recorded_summaries(handle: pa.Attachment, **inputs: Any) -> Tensor:
    """(I, D): what the router was given."""
    seen: list[Tensor] = []
    hook = handle.module.summary.register_forward_hook(lambda module, args, output: seen.append(output))
    try:
        handle.model(**inputs)
    finally:
        hook.remove()
    return torch.cat(seen)


def by_hand(model: Any, pixels: Tensor) -> Tensor:
    """(M, 3, side, side) -> (M, D): each picture's CLS token, straight from the formula."""
    tower = parrot_host_llava._tower(model.base_model)
    states = tower(pixels, output_hidden_states=True).hidden_states
    layer = model.config.vision_feature_layer
    layers = [layer] if isinstance(layer, int) else list(layer)
    return model.base_model.multi_modal_projector(torch.cat([states[i][:, :1] for i in layers], -1)).squeeze(1)


def test_auto_means_cls(name: str) -> None:
    handle = pa.attach(build(name), SMALL)
    assert handle.config.summary == "cls"


def test_summary_is_the_projected_cls_token(name: str) -> None:
    model = build(name)
    inputs = image_inputs(name, model)
    pixels = inputs["pixel_values"]
    expected = by_hand(model, pixels[:, 0] if pixels.dim() == 5 else pixels)  # tile 0 is the whole image
    with pa.attach(model, SMALL) as handle:
        torch.testing.assert_close(recorded_summaries(handle, **inputs), expected)


@pytest.mark.parametrize(
    ("unit", "pictures", "sizes"),
    [("item", [0, 1, 2], [16, 16, 16]), ("run", [0, 0, 1, 2], [15, 1, 16, 16]), ("row", [0, 2], [32, 16])],
)
def test_a_unit_reads_with_the_cls_token_of_the_picture_it_begins_in(
    unit: str, pictures: list[int], sizes: list[int]
) -> None:
    model = build("llava")
    inputs = image_inputs("llava", model)
    ids = inputs["input_ids"]
    ids[0, PATCHES : PATCHES + 2] = ids[0, PATCHES : PATCHES + 2].flip(
        0
    )  # a word before the first picture's last token
    handle = pa.attach(model, {**SMALL.to_dict(), "host_options": {"unit": unit}})
    with handle.record_routing() as log:
        found = recorded_summaries(handle, **inputs)
    torch.testing.assert_close(found, by_hand(model, inputs["pixel_values"])[pictures])
    assert log[0].offsets.diff().tolist() == sizes


def test_self_test_passes(name: str) -> None:
    model = build(name)
    pa.attach(model, SMALL, self_test=image_inputs(name, model))


def test_generate_routes_as_forward(name: str) -> None:
    model = build(name)
    inputs = image_inputs(name, model)
    handle = pa.attach(model, SMALL)
    with handle.record_routing() as log:
        model(**inputs)
        model.generate(**inputs, max_new_tokens=2, do_sample=False)
    assert len(log) == 2
    assert torch.equal(log[0].logits, log[1].logits)
    assert log[0].rows.tolist() == [0, 0, 1]


@pytest.mark.parametrize("name", ["llava", "video_llava"])
def test_full_strategy_starts_with_the_cls_token(name: str) -> None:
    model = build(name, vision_feature_select_strategy="full")
    inputs = image_inputs(name, model)
    cls = recorded_summaries(pa.attach(model, SMALL), **inputs)
    pa.attachment_of(model).detach()
    first = recorded_summaries(pa.attach(model, {**SMALL.to_dict(), "summary": "first-token"}), **inputs)
    torch.testing.assert_close(cls, first)


@pytest.mark.parametrize("name", ["llava_next_video", "video_llava"])
def test_videos(name: str) -> None:
    model = build(name)
    torch.manual_seed(2)
    videos = torch.randn(2, 2, 3, SIDE, SIDE)  # (videos, frames, ...)
    length = 8 if name == "llava_next_video" else 34
    ids = torch.tensor([[20, *[VIDEO] * length, 21], [30, *[VIDEO] * length, 31]])
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "pixel_values_videos": videos}
    tower = model.base_model.video_tower if name == "video_llava" else model.base_model.vision_tower
    states = tower(videos.flatten(0, 1), output_hidden_states=True).hidden_states[-2][:, :1]
    frames = model.base_model.multi_modal_projector(states).squeeze(1)  # (4, D)
    expected = (
        frames if name == "video_llava" else frames.reshape(2, 2, WIDTH).mean(1)
    )  # Video-LLaVA's items are frames
    handle = pa.attach(model, SMALL, self_test=inputs)
    torch.testing.assert_close(recorded_summaries(handle, **inputs), expected)


def test_a_layer_given_with_the_call_is_used() -> None:
    model = build("llava")
    inputs = image_inputs("llava", model)
    handle = pa.attach(model, SMALL)
    default = recorded_summaries(handle, **inputs)
    other = recorded_summaries(handle, **inputs, vision_feature_layer=-1)
    model.config.vision_feature_layer = -1
    torch.testing.assert_close(other, by_hand(model, inputs["pixel_values"]))
    assert not torch.allclose(default, other)


def test_gradient_reaches_the_projector_through_the_summary() -> None:
    model = build("llava")
    inputs = image_inputs("llava", model)
    summaries = recorded_summaries(pa.attach(model, SMALL, freeze_host=False), **inputs)
    summaries.sum().backward()
    assert model.base_model.multi_modal_projector.linear_1.weight.grad.abs().sum() > 0


def test_half_precision_host() -> None:
    model = build("llava").to(torch.bfloat16)
    inputs = image_inputs("llava", model)
    inputs["pixel_values"] = inputs["pixel_values"].bfloat16()
    pa.attach(model, SMALL, self_test=inputs)


@pytest.mark.parametrize("name", ["llava", "llava_next"])
def test_tower_without_cls_falls_back_to_the_mean(name: str) -> None:
    model = build(name, vision_config=SIGLIP, vision_feature_select_strategy="full")
    before = set(model.state_dict())
    handle = pa.attach(model, SMALL)
    assert handle.config.summary == "mean"
    handle.detach()
    with pytest.raises(pa.ParrotError, match="this host's tower has none"):
        pa.attach(model, {**SMALL.to_dict(), "summary": "cls"})
    assert set(model.state_dict()) == before


def test_features_without_hidden_states_are_refused_with_a_reason() -> None:
    model = build("llava")
    inputs = image_inputs("llava", model)
    features = model.base_model.get_image_features(inputs.pop("pixel_values"), return_dict=True)
    features.hidden_states = None
    pa.attach(model, SMALL)
    with pytest.raises(pa.ParrotError, match="CLS token"):
        model(**inputs, mm_encoder_outputs={"image": features})


def test_the_plugin_is_found() -> None:
    host = pa.plugins.find("host", "llava")
    assert host.plugin.distribution == "parrot-host-llava"
    assert host.factory is parrot_host_llava.LLAVA


@pytest.mark.parametrize(
    ("name", "found"), [("class_embedding", True), ("cls_token", True), ("position_embeddings", False)]
)
def test_a_cls_token_is_known_by_its_parameter(name: str, found: bool) -> None:
    """CLIP calls it class_embedding; DINOv2 and ViT, which LLaVA hosts have as towers too, cls_token."""
    tower, embeddings = torch.nn.Module(), torch.nn.Module()
    embeddings.register_parameter(name, torch.nn.Parameter(torch.zeros(1, 1, 4)))
    tower.embeddings = embeddings
    assert parrot_host_llava.has_cls(SimpleNamespace(vision_tower=tower)) is found
    assert parrot_host_llava.has_cls(SimpleNamespace(image_tower=tower)) is found
