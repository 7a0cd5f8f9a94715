"""Hosts of dynamic resolution that take patches of all images end to end, with the grid of each; all take videos."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from miniatures.configs import config, text
from miniatures.family import Encoded, Family
from miniatures.pictures import mm_token_types, patches
from miniatures.prompts import END, FIRST_WORD, IMAGE, PATCH, SIDE, START, VIDEO, VIDEO_END, VIDEO_START, WIDTH

MROPE = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [1, 1, 2]}
GRID = {0: (1, 4, 4), 1: (1, 2, 4)}  # by the parity of the seed
FRAMED = {"vision_start_token_id": START, "vision_end_token_id": END, "image_token_id": IMAGE, "video_token_id": VIDEO}


def _grid(seed: int) -> tuple[int, int, int]:
    return GRID[seed % 2]


def _video_grid(seed: int) -> tuple[int, int, int]:
    return (2, *_grid(seed)[1:])


def _per_frame(rows: list[list[int]]) -> Encoded:
    """Qwen3-VL puts the placeholders of each frame in a frame of its own, with a time stamp before it."""
    encoded = patches(_video_grid, token=VIDEO, pixels="pixel_values_videos", grid="video_grid_thw", framed=False)(rows)
    halves = [len(ids) // 2 for ids in encoded.tokens]
    frame = [([START, *[VIDEO] * n, END]) for n in halves]
    return Encoded(encoded.arguments, [[FIRST_WORD, *f, FIRST_WORD + 1, *f] for f in frame])


def _glm_video(rows: list[list[int]]) -> Encoded:
    """GLM-4V writes a video with the image's placeholder, each frame in the image's frame, between video frames."""
    encoded = patches(_video_grid, pixels="pixel_values_videos", grid="video_grid_thw", framed=False)(rows)
    frame = [[START, *[IMAGE] * (len(ids) // 2), END] for ids in encoded.tokens]
    return Encoded(encoded.arguments, [[VIDEO_START, *f, *f, VIDEO_END] for f in frame])


def glm_token_types(inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """As Qwen-VL's, where a placeholder between video frames is a video's."""
    ids = inputs["input_ids"]
    inside = (ids == VIDEO_START).cumsum(1) > (ids == VIDEO_END).cumsum(1)
    return {"mm_token_type_ids": (ids == IMAGE).int() * (1 + inside.int())}


QWEN_IMAGES = patches(_grid)
QWEN_VIDEOS = patches(_video_grid, token=VIDEO, pixels="pixel_values_videos", grid="video_grid_thw")


def _qwen3_vision(**more: Any) -> dict[str, Any]:
    return {
        "depth": 2,
        "hidden_size": 16,
        "intermediate_size": 24,
        "num_heads": 2,
        "patch_size": PATCH,
        "out_hidden_size": WIDTH,
        "num_position_embeddings": 16,
        "deepstack_visual_indexes": [0],
        **more,
    }


MROPE3 = {**MROPE, "mrope_interleaved": True}

FAMILIES = (
    Family(
        "qwen2_vl",
        "Qwen2VLForConditionalGeneration",
        config(
            "Qwen2VLConfig",
            text_config=text("qwen2_vl_text", rope_parameters=MROPE),
            vision_config={
                "depth": 2,
                "embed_dim": 16,
                "hidden_size": WIDTH,
                "num_heads": 2,
                "mlp_ratio": 2,
                "patch_size": PATCH,
            },
            **FRAMED,
        ),
        QWEN_IMAGES,
        QWEN_VIDEOS,
        mm_token_types,
    ),
    Family(
        "qwen2_5_vl",
        "Qwen2_5_VLForConditionalGeneration",
        config(
            "Qwen2_5_VLConfig",
            text_config=text("qwen2_5_vl_text", rope_parameters=MROPE),
            vision_config={
                "depth": 2,
                "hidden_size": 16,
                "intermediate_size": 24,
                "out_hidden_size": WIDTH,
                "num_heads": 2,
                "patch_size": PATCH,
                "window_size": 2 * PATCH * 2,
                "fullatt_block_indexes": [1],
            },
            **FRAMED,
        ),
        QWEN_IMAGES,
        QWEN_VIDEOS,
        mm_token_types,
        twin="qwen2_vl",
    ),
    Family(
        "qwen3_vl",
        "Qwen3VLForConditionalGeneration",
        config(
            "Qwen3VLConfig",
            text_config=text("qwen3_vl_text", head_dim=8, rope_parameters=MROPE3),
            vision_config=_qwen3_vision(),
            **FRAMED,
        ),
        QWEN_IMAGES,
        _per_frame,
        mm_token_types,
    ),
    Family(
        "qwen3_vl_moe",
        "Qwen3VLMoeForConditionalGeneration",
        config(
            "Qwen3VLMoeConfig",
            text_config=text(
                "qwen3_vl_moe_text",
                head_dim=8,
                rope_parameters=MROPE3,
                num_experts=4,
                num_experts_per_tok=2,
                moe_intermediate_size=16,
            ),
            vision_config=_qwen3_vision(),
            **FRAMED,
        ),
        QWEN_IMAGES,
        _per_frame,
        mm_token_types,
        twin="qwen3_vl",
    ),
    Family(
        "glm4v",
        "Glm4vForConditionalGeneration",
        config(
            "Glm4vConfig",
            text_config=text("glm4v_text", rope_parameters={**MROPE, "partial_rotary_factor": 1.0}),
            vision_config={
                "depth": 2,
                "hidden_size": 16,
                "intermediate_size": 24,
                "num_heads": 2,
                "image_size": SIDE,
                "patch_size": PATCH,
                "out_hidden_size": WIDTH,
            },
            image_token_id=IMAGE,
            video_token_id=VIDEO,
            image_start_token_id=START,
            image_end_token_id=END,
            video_start_token_id=VIDEO_START,
            video_end_token_id=VIDEO_END,
        ),
        QWEN_IMAGES,
        _glm_video,
        glm_token_types,
        together=False,
        known={
            "test_beams": "transformers: beams take each other's images where a row has several",
        },
    ),
    Family(
        "video_llama_3",
        "VideoLlama3ForConditionalGeneration",
        config(
            "VideoLlama3Config",
            text_config=text("qwen2"),
            vision_config={
                "hidden_size": 16,
                "intermediate_size": 24,
                "num_hidden_layers": 2,
                "num_attention_heads": 2,
                "patch_size": PATCH,
            },
            image_token_id=IMAGE,
            video_token_id=VIDEO,
        ),
        patches(_grid, temporal=1, framed=False, extra=lambda n: {"image_merge_sizes": torch.full((n,), 2)}),
        twin="qwen2_vl",
    ),
)
