"""Hosts that keep a picture's own proportions, padded to the largest of the batch."""

from __future__ import annotations

from miniatures.configs import config, text, tower
from miniatures.family import Family
from miniatures.pictures import naflex, packed
from miniatures.prompts import IMAGE, PATCH

FAMILIES = (
    Family(
        "mistral3",
        "Mistral3ForConditionalGeneration",
        config(
            "Mistral3Config",
            text_config=text("mistral", head_dim=8),
            vision_config=tower("pixtral", head_dim=12),
            image_token_index=IMAGE,
        ),
        packed,
    ),
    Family(
        "lighton_ocr",
        "LightOnOcrForConditionalGeneration",
        config(
            "LightOnOcrConfig",
            text_config=text("qwen3", head_dim=8),
            vision_config=tower("pixtral", head_dim=12),
            image_token_id=IMAGE,
        ),
        packed,
        twin="mistral3",
    ),
    Family(
        "lfm2_vl",
        "Lfm2VlForConditionalGeneration",
        config(
            "Lfm2VlConfig",
            text_config=text("lfm2", layer_types=["conv", "full_attention"]),
            vision_config={
                "model_type": "siglip2_vision_model",
                "hidden_size": 24,
                "intermediate_size": 32,
                "num_hidden_layers": 2,
                "num_attention_heads": 2,
                "patch_size": PATCH,
                "num_patches": 16,
                "vision_use_head": False,
            },
            image_token_id=IMAGE,
            projector_hidden_size=16,
        ),
        naflex,
    ),
)
