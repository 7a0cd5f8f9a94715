"""LLaVA and what grew from it: a CLIP or SigLIP tower, tiles, short videos."""

from __future__ import annotations

from miniatures.configs import config, siglip, text, tower
from miniatures.family import Family
from miniatures.pictures import anyres, clip, stacked
from miniatures.prompts import IMAGE, SIDE, VIDEO

PINPOINTS = [[SIDE, SIDE], [SIDE, 2 * SIDE]]

FAMILIES = (
    Family(
        "llava",
        "LlavaForConditionalGeneration",
        config("LlavaConfig", text_config=text(), vision_config=tower(), image_token_index=IMAGE),
        stacked(16),
    ),
    Family(
        "vipllava",
        "VipLlavaForConditionalGeneration",
        config(
            "VipLlavaConfig",
            text_config=text(),
            vision_config=tower(),
            image_token_index=IMAGE,
            vision_feature_layer=[-1, -2],
        ),
        stacked(16),
    ),
    Family(
        "llava_next",
        "LlavaNextForConditionalGeneration",
        config(
            "LlavaNextConfig",
            text_config=text(),
            vision_config=tower(),
            image_token_index=IMAGE,
            image_grid_pinpoints=PINPOINTS,
        ),
        anyres,
    ),
    Family(
        "llava_next_video",
        "LlavaNextVideoForConditionalGeneration",
        config(
            "LlavaNextVideoConfig",
            text_config=text(),
            vision_config=tower(),
            image_token_index=IMAGE,
            video_token_index=VIDEO,
            image_grid_pinpoints=PINPOINTS,
        ),
        anyres,
        clip(2, 8),
        twin="llava_next",
    ),
    Family(
        "llava_onevision",
        "LlavaOnevisionForConditionalGeneration",
        config(
            "LlavaOnevisionConfig",
            text_config=text("qwen2"),
            vision_config=siglip(),
            image_token_index=IMAGE,
            video_token_index=VIDEO,
            image_grid_pinpoints=PINPOINTS,
        ),
        anyres,
        clip(2, 9),
    ),
    Family(
        "video_llava",
        "VideoLlavaForConditionalGeneration",
        config(
            "VideoLlavaConfig",
            text_config=text(),
            vision_config=tower(),
            image_token_index=IMAGE,
            video_token_index=VIDEO,
        ),
        stacked(16, name="pixel_values"),
        clip(2, 34),
        twin="llava",
    ),
)
