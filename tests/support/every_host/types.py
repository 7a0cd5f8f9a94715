"""What the rules of ``shrink.py`` get wrong, by type; and which types need a package that may not be installed."""

from __future__ import annotations

from typing import Any

from support.every_host.shrink import DROP

MROPE = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [1, 1, 2]}
GLM_ROPE = {**MROPE, "partial_rotary_factor": 1.0}
TINY_TOWER = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
EXCEPTIONS: dict[str, dict[str, Any]] = {
    "apertus1p5": {"audio_config": DROP, "wavtokenizer_config": DROP},
    "aria": {"projector_patch_to_query_dict": {16: 4}},
    "chameleon": {
        "vocabulary_map": {"<image>": 3, **{f"IMGIMG{letter}Z": 80 + n for n, letter in enumerate("ABCDEFGH")}},
        "vq_config": {
            "embed_dim": 8,
            "num_embeddings": 8,
            "latent_channels": 8,
            "base_channels": 32,
            "resolution": 16,
            "channel_multiplier": [1, 1],
            "num_res_blocks": 1,
        },
    },
    "cohere_compass": {
        "text_config.layer_types": ["sliding_attention", "full_attention"],
        "text_config.rope_parameters": {"sliding_attention": MROPE, "full_attention": None},
    },
    "deepseek_ocr2": {
        "text_config.mlp_layer_types": ["dense", "sparse"],
        "text_config.num_experts_per_tok": 2,
        "vision_config.sam_config.downsample_channels": [16, 32],
    },
    "deepseek_vl_hybrid": {"high_res_vision_config.global_attn_indexes": [0]},
    "diffusion_gemma": {
        "text_config.moe_intermediate_size": 16,
        "vision_config": {"model_type": "gemma4_vision", "head_dim": 8, "num_key_value_heads": 4, **TINY_TOWER},
    },
    "dots3_note": {"text_config.num_key_value_heads": 4},
    "emu3": {
        "vocabulary_map": {"<image>": 3},
        "vq_config": {
            "embed_dim": 8,
            "codebook_size": 8,
            "latent_channels": 8,
            "base_channels": 32,
            "channel_multiplier": [1, 1],
            "num_res_blocks": 1,
            "attn_resolutions": [],
            "hidden_size": 16,
        },
    },
    "ernie4_5_vl_moe": {"text_config.moe_intermediate_size": [16, 16], "text_config.rope_parameters": MROPE},
    "gemma4": {
        "vision_config": {
            "model_type": "gemma4_vision",
            "head_dim": 8,
            "num_key_value_heads": 4,
            "patch_size": 4,
            "position_embedding_size": 64,
            **TINY_TOWER,
        },
    },
    "glm5_next": {"text_config.num_key_value_heads": 4, "text_config.qk_rope_head_dim": 0},
    **{name: {"text_config.rope_parameters": GLM_ROPE} for name in ("glm46v", "glm4v_moe", "glm_ocr", "glmga")},
    "muse_glimmer": {"out_hidden_size": 128},
    "muse_spark": {"out_hidden_size": 128},
    "granite4_vision": {
        "deepstack_layer_map": [[0, 0]],
        "downsample_rate": "2/4",
        "vision_config.hidden_size": 64,
        "text_config.hidden_size": 64,
    },
    "kimi_k25": {
        "vision_config.pos_emb_height": 4,
        "vision_config.pos_emb_width": 4,
        "text_config.qk_rope_head_dim": 4,
    },
    "hunyuan_vl": {"text_config.head_dim": 8, "text_config.rope_parameters": MROPE},
    "mistral_large4": {"text_config.qk_rope_head_dim": 4},
    "molmo2": {"adapter_config.vision_feature_layer": [1, 0]},
    "nemotron_h_omni": {"text_config.layers_block_type": ["mamba", "full_attention"]},
    "paddleocr_vl": {"text_config.rope_parameters": MROPE},
    "mllama": {"vision_config.intermediate_layers_indices": [0], "text_config.cross_attention_layers": [1]},
    **{
        name: {"vision_start_token_id": 5, "vision_end_token_id": 6, "audio_start_token_id": 7, "audio_token_id": 8}
        | ({"text_config.rope_parameters": MROPE} if name.startswith("qwen2") else {})
        for name in ("qwen2_5_omni_thinker", "qwen3_omni_moe_thinker")
    },
    "step3p7": {"text_config.sliding_window": 64},
    "qwen4_exp": {"text_config.indexer_compress_ratio": 4, "text_config.indexer_budget": 16},
}
