"""Hosts that turn each picture into the same number of visual tokens."""

from __future__ import annotations

from miniatures.configs import config, siglip, text, tower
from miniatures.family import Family
from miniatures.pictures import flat_patches, image_token_types, indicated, prefix_token_types, stacked
from miniatures.prompts import END, IMAGE, INDICATORS, PATCH, SIDE, START, VOCABULARY, WIDTH

FAMILIES = (
    Family(
        "paligemma",
        "PaliGemmaForConditionalGeneration",
        config(
            "PaliGemmaConfig",
            text_config=text("gemma", head_dim=8),
            vision_config=siglip(projection_dim=WIDTH),
            image_token_index=IMAGE,
            projection_dim=WIDTH,
            hidden_size=WIDTH,
        ),
        stacked(16),
        extra=prefix_token_types,
        known={
            "test_generating_from_embeddings": "transformers: generate does not pass inputs_embeds on",
        },
    ),
    Family(
        "gemma3",
        "Gemma3ForConditionalGeneration",
        config(
            "Gemma3Config",
            text_config=text("gemma3_text", head_dim=8, sliding_window=64),
            vision_config=siglip(),
            image_token_index=IMAGE,
            boi_token_index=START,
            eoi_token_index=END,
            mm_tokens_per_image=4,
        ),
        stacked(4, framed=True),
        extra=image_token_types,
        known={
            "test_generating_from_embeddings": "transformers: generate does not pass inputs_embeds on",
        },
    ),
    Family(
        "internvl",
        "InternVLForConditionalGeneration",
        config(
            "InternVLConfig",
            text_config=text("qwen2"),
            vision_config=tower("internvl_vision", image_size=[SIDE, SIDE], patch_size=[PATCH, PATCH]),
            image_token_id=IMAGE,
        ),
        stacked(4, framed=True),
    ),
    Family(
        "aya_vision",
        "AyaVisionForConditionalGeneration",
        config("AyaVisionConfig", text_config=text("cohere2"), vision_config=siglip(), image_token_index=IMAGE),
        stacked(4),
    ),
    Family(
        "cohere2_vision",
        "Cohere2VisionForConditionalGeneration",
        config(
            "Cohere2VisionConfig",
            text_config=text("cohere2"),
            vision_config=siglip(),
            image_token_id=IMAGE,
            alignment_intermediate_size=32,
        ),
        stacked(4),
        twin="aya_vision",
    ),
    Family(
        "got_ocr2",
        "GotOcr2ForConditionalGeneration",
        config(
            "GotOcr2Config",
            text_config=text("qwen2"),
            vision_config={
                "hidden_size": 16,
                "output_channels": 8,
                "num_hidden_layers": 2,
                "num_attention_heads": 2,
                "image_size": 32,
                "patch_size": 2,
                "window_size": 2,
                "global_attn_indexes": [1],
                "mlp_dim": 16,
            },
            image_token_index=IMAGE,
        ),
        stacked(16, side=32),
        twin="paligemma",
    ),
    Family(
        "ovis2",
        "Ovis2ForConditionalGeneration",
        config(
            "Ovis2Config",
            text_config=text("qwen2"),
            vision_config=tower("ovis2_vision", vocab_size=24),
            image_token_id=IMAGE,
            visual_indicator_token_ids=list(INDICATORS),
            vocab_size=VOCABULARY,
            hidden_size=WIDTH,
        ),
        indicated,
        known={
            "test_chunked_prefill": "transformers: chunks without images still want visual_indicator_features",
        },
    ),
    Family(
        "janus",
        "JanusForConditionalGeneration",
        config(
            "JanusConfig",
            text_config=text(),
            vision_config=tower(
                "janus_vision_model", projection_dim=WIDTH, num_image_tokens=16, mlp_ratio=1.0, depth=1
            ),
            vq_config={
                "embed_dim": 4,
                "num_embeddings": 8,
                "latent_channels": 8,
                "base_channels": 32,
                "channel_multiplier": [1, 1],
                "num_res_blocks": 1,
                "projection_dim": WIDTH,
                "image_token_embed_dim": WIDTH,
                "num_patches": 4,
            },
            image_token_id=IMAGE,
        ),
        stacked(16),
    ),
    Family(
        "deepseek_vl",
        "DeepseekVLForConditionalGeneration",
        config("DeepseekVLConfig", text_config=text(), vision_config=siglip(), image_token_id=IMAGE),
        stacked(16),
        twin="janus",
    ),
    Family(
        "fuyu",
        "FuyuForCausalLM",
        config(
            "FuyuConfig",
            text_config=text("persimmon"),
            image_size=2 * PATCH,
            patch_size=PATCH,
            image_token_id=IMAGE,
        ),
        flat_patches,
        known={
            "test_beams": "transformers: generate does not expand last_hidden_state for beams",
            "test_several_answers": "transformers: generate does not expand last_hidden_state for several answers",
            "test_chunked_prefill": "transformers: generate slices pooler_output, which Fuyu does not fill",
        },
    ),
)
