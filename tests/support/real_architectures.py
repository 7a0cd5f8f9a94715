"""Configs of published hosts, as their ``config.json`` has them, made offline from transformers' classes.

They have the shapes of the real models and no weights. Parameter counts are checked against the published ones.
"""

from __future__ import annotations

from typing import Any

import transformers

CLIP_LARGE_336 = {
    "model_type": "clip_vision_model",
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "image_size": 336,
    "patch_size": 14,
    "projection_dim": 768,
}


def llava_1_5_7b() -> Any:
    """llava-hf/llava-1.5-7b-hf"""
    return transformers.LlavaConfig(
        text_config={
            "model_type": "llama",
            "hidden_size": 4096,
            "intermediate_size": 11008,
            "num_hidden_layers": 32,
            "num_attention_heads": 32,
            "num_key_value_heads": 32,
            "vocab_size": 32064,
            "max_position_embeddings": 4096,
        },
        vision_config=CLIP_LARGE_336,
        image_token_index=32000,
        tie_word_embeddings=False,
    )


def parrot_7b() -> Any:
    """CLIP ViT-L/14-336 and Qwen1.5-7B-Chat as a LLaVA, the CLS token kept; what recipes/train/make_host.py makes."""
    return transformers.LlavaConfig(
        text_config={
            "model_type": "qwen2",
            "hidden_size": 4096,
            "intermediate_size": 11008,
            "num_hidden_layers": 32,
            "num_attention_heads": 32,
            "num_key_value_heads": 32,
            "vocab_size": 151936,
            "max_position_embeddings": 32768,
        },
        vision_config=CLIP_LARGE_336,
        image_token_index=151646,
        vision_feature_select_strategy="full",
        tie_word_embeddings=False,
    )


def qwen2_5_vl(
    width: int, hidden: int, layers: int, heads: int, kv_heads: int, vocabulary: int, tied: bool, vision: int = 3420
) -> Any:
    return transformers.Qwen2_5_VLConfig(
        text_config={
            "model_type": "qwen2_5_vl_text",
            "hidden_size": width,
            "intermediate_size": hidden,
            "num_hidden_layers": layers,
            "num_attention_heads": heads,
            "num_key_value_heads": kv_heads,
            "vocab_size": vocabulary,
            "tie_word_embeddings": tied,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [16, 24, 24]},
        },
        vision_config={
            "depth": 32,
            "hidden_size": 1280,
            "intermediate_size": vision,
            "num_heads": 16,
            "out_hidden_size": width,
            "patch_size": 14,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
            "window_size": 112,
            "fullatt_block_indexes": [7, 15, 23, 31],
        },
        image_token_id=151655,
        video_token_id=151656,
        vision_start_token_id=151652,
        vision_end_token_id=151653,
        tie_word_embeddings=tied,
    )


def qwen2_5_vl_3b() -> Any:
    """Qwen/Qwen2.5-VL-3B-Instruct"""
    return qwen2_5_vl(2048, 11008, 36, 16, 2, 151936, tied=True)


def qwen2_5_vl_7b() -> Any:
    """Qwen/Qwen2.5-VL-7B-Instruct"""
    return qwen2_5_vl(3584, 18944, 28, 28, 4, 152064, tied=False)


def qwen2_5_vl_32b() -> Any:
    """Qwen/Qwen2.5-VL-32B-Instruct"""
    return qwen2_5_vl(5120, 27648, 64, 40, 8, 152064, tied=False, vision=3456)


def qwen2_5_vl_72b() -> Any:
    """Qwen/Qwen2.5-VL-72B-Instruct"""
    return qwen2_5_vl(8192, 29568, 80, 64, 8, 152064, tied=False, vision=3456)


def gemma3_4b() -> Any:
    """google/gemma-3-4b-it"""
    return transformers.Gemma3Config(
        text_config={
            "model_type": "gemma3_text",
            "hidden_size": 2560,
            "intermediate_size": 10240,
            "num_hidden_layers": 34,
            "num_attention_heads": 8,
            "num_key_value_heads": 4,
            "head_dim": 256,
            "vocab_size": 262208,
            "sliding_window": 1024,
        },
        vision_config={
            "model_type": "siglip_vision_model",
            "hidden_size": 1152,
            "intermediate_size": 4304,
            "num_hidden_layers": 27,
            "num_attention_heads": 16,
            "image_size": 896,
            "patch_size": 14,
            "vision_use_head": False,
        },
        mm_tokens_per_image=256,
        image_token_index=262144,
        boi_token_index=255999,
        eoi_token_index=256000,
    )


# preset -> (its host, billions of parameters as published or as the parts add up, processes its first line starts)
ARCHITECTURES = {
    "llava-1.5-7b": (llava_1_5_7b, 7.06, 1),
    "llava-1.5-7b-layers": (llava_1_5_7b, 7.06, 1),
    "qwen2.5-vl-3b": (qwen2_5_vl_3b, 3.75, 1),
    "qwen2.5-vl-7b": (qwen2_5_vl_7b, 8.29, 2),
    "parrot-7b-stage1": (parrot_7b, 8.05, 16),
    "parrot-7b-stage2": (parrot_7b, 8.05, 16),
}

# Hosts of docs/memory.md -> (how they are made, billions of parameters as their parts add up)
HOSTS = {
    "LLaVA-1.5-7B": (llava_1_5_7b, 7.06),
    "Qwen2.5-VL-7B": (qwen2_5_vl_7b, 8.29),
    "Qwen2.5-VL-32B": (qwen2_5_vl_32b, 33.45),
    "Qwen2.5-VL-72B": (qwen2_5_vl_72b, 73.41),
}
