"""What the rules of ``shrink.py`` get wrong, by type; and which types need a package that may not be installed."""

from __future__ import annotations

from typing import Any

from miniatures.prompts import IMAGE

MROPE = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [1, 1, 2]}
GLM_ROPE = {**MROPE, "partial_rotary_factor": 1.0}
# Keys of one rotated and one plain part; `head_dim` is that of the rotated one.
LATENT_ATTENTION = {
    "text_config.qk_rope_head_dim": 4,
    "text_config.head_dim": 4,
    "text_config.qk_head_dim": 12,
    "text_config.num_key_value_heads": 4,
}
TINY_TOWER = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
SIDES = {"fast_vlm": 128}  # of a picture, where a tower of convolutions makes nothing of a smaller one
EXCEPTIONS: dict[str, dict[str, Any]] = {
    "apertus1p5": {
        "image_token_offset": 72,
        "audio_token_offset": 80,
        "vision_config": {
            "codebook_size": 8,
            "embed_dim": 8,
            "latent_channels": 8,
            "base_channels": 32,
            "resolution": 16,
            "channel_multiplier": [1, 1, 1],
            "num_res_blocks": 1,
        },
        "audio_config": {
            "model_type": "wavtokenizer_encoder",
            "num_filters": 4,
            "upsampling_ratios": [2],
            "num_lstm_layers": 1,
            "hidden_size": 8,
            "codebook_size": 8,
            "codebook_dim": 8,
        },
    },
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
        "vision_config.sam_config.window_size": 2,
    },
    "deepseek_vl_hybrid": {"high_res_vision_config.global_attn_indexes": [0]},
    "diffusion_gemma": {
        "text_config.moe_intermediate_size": 16,
        "vision_config": {"model_type": "gemma4_vision", "head_dim": 8, "num_key_value_heads": 4, **TINY_TOWER},
    },
    "dots3_note": {
        "text_config.num_key_value_heads": 4,
        "text_config.head_dim": 16,
        "text_config.qk_rope_head_dim": 4,
        "text_config.qk_nope_head_dim": 12,
        "text_config.index_n_heads": 2,
        "text_config.layer_types": ["indexed_attention", "indexed_attention"],
        "vision_config.adapter_in_dim": 32,
        "vision_config.adapter_out_dim": 32,
        "audio_config.adapter_input_size": 32,
        "audio_config.adapter_out_dim": 32,
    },
    "emu3": {
        "vocabulary_map": {
            "<image>": 3,
            "<|extra_200|>": 6,
            **{f"<|visual token {number:06d}|>": 80 + number for number in range(8)},
        },
        "vq_config": {
            "embed_dim": 8,
            "codebook_size": 8,
            "latent_channels": 8,
            "base_channels": 32,
            "channel_multiplier": [1, 1],
            "num_res_blocks": 1,
            "attn_resolutions": [],
            "hidden_size": 32,
        },
    },
    "ernie4_5_vl_moe": {"text_config.moe_intermediate_size": [16, 16], "text_config.rope_parameters": MROPE},
    "fast_vlm": {
        "vision_config.hidden_size": 64,
        "vision_config.model_args": {
            "inference_mode": True,
            "layers": [1, 1, 1, 1, 1],
            "embed_dims": [8, 8, 16, 32, 32],
            "mlp_ratios": [1, 1, 1, 1, 1],
        },
    },
    "gemma3n": {
        "vision_config.hidden_size": 2048,
        "vision_config.model_args": {"channel_multiplier": 0.0625, "msfa_output_resolution": 2},
        "vision_soft_tokens_per_image": 4,
    },
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
    "gemma4_unified": {
        "vision_config": {
            "model_type": "gemma4_unified_vision",
            "patch_size": 4,
            "model_patch_size": 4,
            "pooling_kernel_size": 1,
            "mm_embed_dim": 32,
            "mm_posemb_size": 64,
            "output_proj_dims": 32,
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
        **LATENT_ATTENTION,
    },
    "hunyuan_vl": {"text_config.head_dim": 8, "text_config.rope_parameters": MROPE},
    "mistral_large4": {**LATENT_ATTENTION, "text_config.index_n_heads": 2},
    "molmo2": {"adapter_config.vision_feature_layer": [1, 0], "image_patch_id": IMAGE},
    "nemotron_h_omni": {"text_config.layers_block_type": ["mamba", "full_attention"], "text_config.n_groups": 2},
    "perception_lm": {
        "vision_config": {
            "model_type": "timm_wrapper",
            "architecture": "vit_pe_core_large_patch14_336",
            "do_pooling": False,
            "num_classes": 0,
            "global_pool": "",
            "hidden_size": 32,
            "model_args": {
                "embed_dim": 32,
                "depth": 2,
                "num_heads": 4,
                "img_size": [16, 16],
                "patch_size": 4,
                "global_pool": "",
                "use_post_transformer_norm": False,
                "init_values": 0.1,
                "ref_feat_shape": [4, 4],
            },
        },
    },
    "paddleocr_vl": {"text_config.rope_parameters": MROPE},
    **{
        name: {"vision_start_token_id": 5, "vision_end_token_id": 6, "audio_start_token_id": 7, "audio_token_id": 8}
        | ({"text_config.rope_parameters": MROPE} if name.startswith("qwen2") else {})
        for name in ("qwen2_5_omni_thinker", "qwen3_omni_moe_thinker")
    },
    "pp_chart2table": {"vision_config.window_size": 2},
    "unlimited_ocr": {
        "vision_config.sam_config.downsample_channels": [16, 32],
        "vision_config.sam_config.window_size": 2,
    },
    "step3p7": {"text_config.sliding_window": 64},
    "qwen4_exp": {
        "text_config.indexer_compress_ratio": 4,
        "text_config.indexer_budget": 16,
        "text_config.indexer_n_heads": 2,
        "text_config.indexer_kv_heads": 1,
        "text_config.indexer_head_dim": 8,
        "text_config.hc_lowrank": 8,
        "text_config.linear_num_key_heads": 2,
        "text_config.linear_num_value_heads": 4,
        "text_config.ngram_vocab_size_base": 96,
        "text_config.split_ngram_parts": 2,
    },
}
