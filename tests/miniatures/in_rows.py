"""Idefics: images stay in the rows of their prompts, and one routing is for a run of them."""

from __future__ import annotations

from miniatures.configs import config, text, tower
from miniatures.family import Family
from miniatures.pictures import by_row
from miniatures.prompts import IMAGE, WIDTH

FAMILIES = (
    Family(
        "idefics2",
        "Idefics2ForConditionalGeneration",
        config(
            "Idefics2Config",
            text_config=text("mistral"),
            vision_config=tower("idefics2_vision"),
            perceiver_config={
                "hidden_size": WIDTH,
                "resampler_n_latents": 3,
                "resampler_depth": 1,
                "resampler_n_heads": 2,
                "num_key_value_heads": 1,
                "resampler_head_dim": 8,
            },
            image_token_id=IMAGE,
        ),
        by_row(3),
        unit="run",
    ),
    Family(
        "idefics3",
        "Idefics3ForConditionalGeneration",
        config(
            "Idefics3Config",
            text_config=text(),
            vision_config=tower("idefics3_vision"),
            image_token_id=IMAGE,
            scale_factor=2,
        ),
        by_row(4),
        unit="run",
    ),
    Family(
        "smolvlm",
        "SmolVLMForConditionalGeneration",
        config(
            "SmolVLMConfig",
            text_config=text(),
            vision_config=tower("smolvlm_vision"),
            image_token_id=IMAGE,
            scale_factor=2,
        ),
        by_row(4),
        unit="run",
        twin="idefics3",
    ),
)
