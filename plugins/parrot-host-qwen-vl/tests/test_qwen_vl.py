"""Dynamic resolution, video and deepstack on random-weight miniatures of every Qwen-VL family."""

from __future__ import annotations

from typing import Any
from unittest import mock

import parrot_host_qwen_vl
import pytest
import torch
import transformers
from torch import Tensor

import parrot_adapters as pa
from parrot_adapters.testing import lively_weights

IMAGE, VIDEO, START, END, WIDTH, PATCH = 3, 4, 5, 6, 32, 4
ROPE = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [1, 1, 2]}
TEXT = {
    "vocab_size": 96,
    "hidden_size": WIDTH,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "rope_parameters": ROPE,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
TEXT3 = TEXT | {"head_dim": 8, "rope_parameters": {**ROPE, "mrope_interleaved": True}}
MOE = TEXT3 | {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
VISION = {"depth": 2, "num_heads": 2, "patch_size": PATCH}
VISION25 = VISION | {"hidden_size": 16, "intermediate_size": 24, "out_hidden_size": WIDTH}
VISION3 = VISION25 | {"num_position_embeddings": 16, "deepstack_visual_indexes": [0]}
HOSTS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "qwen2_vl": ("Qwen2VL", TEXT, VISION | {"embed_dim": 16, "hidden_size": WIDTH, "mlp_ratio": 2}),
    "qwen2_5_vl": ("Qwen2_5_VL", TEXT, VISION25 | {"window_size": 16, "fullatt_block_indexes": [1]}),
    "qwen3_vl": ("Qwen3VL", TEXT3, VISION3),
    "qwen3_vl_moe": ("Qwen3VLMoe", MOE, VISION3),
}
DEEPSTACK = ["qwen3_vl", "qwen3_vl_moe"]
SMALL = pa.AdapterConfig(num_experts=3, expert_hidden_size=16)

each_host = pytest.mark.parametrize("name", HOSTS)


def build(name: str) -> Any:
    prefix, text, vision = HOSTS[name]
    config = getattr(transformers, f"{prefix}Config")(
        text_config=text,
        vision_config=vision,
        image_token_id=IMAGE,
        video_token_id=VIDEO,
        vision_start_token_id=START,
        vision_end_token_id=END,
    )
    torch.manual_seed(0)
    model = getattr(transformers, f"{prefix}ForConditionalGeneration")(config)
    lively_weights(model)
    model.generation_config.eos_token_id = None
    model.generation_config.suppress_tokens = [
        0,
        1,
        2,
        IMAGE,
        VIDEO,
        START,
        END,
    ]  # a generated placeholder has no image
    return model.eval()


def pixels(*grids: tuple[int, int, int]) -> Tensor:
    """Patches of all images end to end."""
    torch.manual_seed(sum(map(sum, grids)))
    return torch.randn(sum(t * h * w for t, h, w in grids), 3 * 2 * PATCH * PATCH)


def finish(rows: list[list[int]], **arguments: Tensor) -> dict[str, Tensor]:
    """Pad on the left and add what the processor adds."""
    size = max(map(len, rows))
    ids = torch.tensor([[0] * (size - len(row)) + row for row in rows])
    kinds = (ids == IMAGE).int() + 2 * (ids == VIDEO).int()
    return {"input_ids": ids, "attention_mask": (ids != 0).long(), "mm_token_type_ids": kinds} | arguments


def image_inputs() -> dict[str, Tensor]:
    """Two rows, of two images (4 and 2 visual tokens) and one (6)."""
    grids = [(1, 4, 4), (1, 2, 4), (1, 4, 6)]
    first = [20, START, *[IMAGE] * 4, END, 21, START, IMAGE, IMAGE, END, 22]
    second = [30, START, *[IMAGE] * 6, END, 31, 32]
    return finish([first, second], pixel_values=pixels(*grids), image_grid_thw=torch.tensor(grids))


def video_inputs(name: str) -> dict[str, Tensor]:
    """A row with an image and a video of two frames, a row with a video."""
    grids = [(2, 2, 4), (2, 4, 4)]
    frames = [[START, *[VIDEO] * n, END] for n in (2, 4)]
    if name in DEEPSTACK:  # Qwen3-VL frames each frame, a time stamp before it
        clips = [[40, *frame, 41, *frame] for frame in frames]
    else:
        clips = [[START, *[VIDEO] * 2 * n, END] for n in (2, 4)]
    rows = [[20, START, *[IMAGE] * 4, END, 21, *clips[0], 22], [30, *clips[1], 31]]
    return finish(
        rows,
        pixel_values=pixels((1, 4, 4)),
        image_grid_thw=torch.tensor([(1, 4, 4)]),
        pixel_values_videos=pixels(*grids),
        video_grid_thw=torch.tensor(grids),
    )


def awake(handle: pa.Attachment) -> None:
    """Give the experts something to say."""
    torch.manual_seed(3)
    torch.nn.init.normal_(handle.module.experts.down, std=0.3)


@each_host
def test_the_declaration_applies(name: str) -> None:
    handle = pa.attach(build(name), SMALL)
    assert handle.parts.spec.projector == ("visual.merger",)
    assert handle.parts.plugin.distribution == "parrot-host-qwen-vl"
    assert handle.projector is handle.model.base_model.visual.merger
    assert handle.config.summary == "mean"


@each_host
def test_images_of_any_size_are_routed_one_by_one(name: str) -> None:
    inputs = image_inputs()
    handle = pa.attach(build(name), SMALL, self_test=inputs)
    with handle.record_routing() as log:
        handle.model(**inputs)
    (record,) = log
    assert (record.offsets[1:] - record.offsets[:-1]).tolist() == [4, 2, 6]
    assert record.rows.tolist() == [0, 0, 1]


@each_host
def test_images_and_videos_together(name: str) -> None:
    inputs = video_inputs(name)
    handle = pa.attach(build(name), SMALL, self_test=inputs)
    with handle.record_routing() as log:
        handle.model(**inputs)
    by_modality = {record.modality: record for record in log}
    assert by_modality["image"].rows.tolist() == [0]
    video = by_modality["video"]
    assert video.rows.tolist() == [0, 1]
    assert (video.offsets[1:] - video.offsets[:-1]).tolist() == [4, 8]  # a whole video each, not a frame


@each_host
def test_frames_of_an_image_never_count_as_text(name: str) -> None:
    inputs = image_inputs()
    handle = pa.attach(build(name), SMALL)
    seen: list[Any] = []
    handle.module.router.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    handle.model(**inputs)
    routing_text = inputs["input_ids"][seen[0].text_mask]
    assert set(routing_text.tolist()) == {20, 21, 22, 30, 31, 32}


@each_host
def test_generate_starts_from_forwards_logits_with_videos(name: str) -> None:
    inputs = video_inputs(name)
    model = build(name)
    awake(pa.attach(model, SMALL))
    expected = model(**inputs).logits[:, -1]
    for cached in (True, False):
        made = model.generate(
            **inputs,
            max_new_tokens=2,
            do_sample=False,
            use_cache=cached,
            return_dict_in_generate=True,
            output_logits=True,
        )
        torch.testing.assert_close(made.logits[0], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", DEEPSTACK)
def test_deepstack_is_raw_unless_asked_for(name: str) -> None:
    inputs = image_inputs()
    seen: list[list[Tensor]] = []
    for options in ({"deepstack": "raw"}, {"deepstack": "align"}, {}):
        model = build(name)
        handle = pa.attach(model, {**SMALL.to_dict(), "host_options": options})
        bare = model(**inputs).logits
        awake(handle)
        kept: list[Any] = []
        own = type(model.base_model).forward

        def keep(self: Any, *args: Any, kept: list[Any] = kept, own: Any = own, **kwargs: Any) -> Any:
            kept.append(kwargs["mm_encoder_outputs"]["image"])
            return own(self, *args, **kwargs)

        with mock.patch.object(type(model.base_model), "forward", keep):
            assert not torch.equal(model(**inputs).logits, bare)
        seen.append([torch.cat(layer) for layer in kept[0].deepstack_features])
        pa.self_test(handle, inputs)
    raw, aligned, unasked = seen
    assert all(map(torch.equal, raw, unasked))
    assert not any(torch.equal(a, b) for a, b in zip(raw, aligned, strict=True))


@pytest.mark.parametrize("name", DEEPSTACK)
def test_untrained_adapter_is_exact_with_deepstack_aligned(name: str) -> None:
    inputs = image_inputs()
    model = build(name)
    bare = model(**inputs).logits
    pa.attach(model, {**SMALL.to_dict(), "host_options": {"deepstack": "align"}})
    assert torch.equal(model(**inputs).logits, bare)


def test_the_plugin_is_found() -> None:
    host = pa.plugins.find("host", "qwen-vl")
    assert host.plugin.distribution == "parrot-host-qwen-vl"
    assert host.factory is parrot_host_qwen_vl.QWEN_VL
