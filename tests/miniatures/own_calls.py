"""Hosts of transformers that are reached at their own calls."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from miniatures.configs import config, text, tower
from miniatures.family import Encoded, Family
from miniatures.pictures import picture, stacked
from miniatures.prompts import BOS, END, EOS, IMAGE, PAD, PATCH, SIDE, START, VOCABULARY, WIDTH

IDS = {"pad_token_id": PAD, "bos_token_id": BOS, "eos_token_id": EOS}
QUERIES = 4
QFORMER = {
    "vocab_size": VOCABULARY,
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "encoder_hidden_size": 24,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}


def _opt() -> dict[str, Any]:
    return {
        "model_type": "opt",
        "vocab_size": VOCABULARY,
        "hidden_size": WIDTH,
        "word_embed_proj_dim": WIDTH,
        "ffn_dim": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": 256,
        **IDS,
    }


def _question(inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """InstructBLIP's Q-Former reads the prompt too: one row for each picture."""
    pictures = len(inputs.get("pixel_values", ()))
    return {
        "qformer_input_ids": torch.full((pictures, 2), 30),
        "qformer_attention_mask": torch.ones(pictures, 2).long(),
    }


def _frames(rows: list[list[int]]) -> Encoded:
    seeds = [seed for row in rows for seed in row]
    pixels = torch.stack([picture(seed, 2, 3, SIDE, SIDE) for seed in seeds])
    return Encoded({"pixel_values": pixels}, [[IMAGE] * (2 * QUERIES) for _ in seeds])


def _masked(name: str, tokens: int) -> Any:
    """Ids that are no placeholders, and a mask that says where pictures go."""

    def encode(rows: list[list[int]]) -> Encoded:
        seeds = [seed for row in rows for seed in row]
        if name == "pixel_values":
            pixels = torch.stack([picture(seed, 3, SIDE, SIDE) for seed in seeds])
        else:  # row and column of each patch before its pixels
            places = torch.tensor([[1 + n // 4, 1 + n % 4] for n in range(16)], dtype=torch.float32)
            pixels = torch.stack([torch.cat([places, picture(seed, 16, 3 * PATCH * PATCH)], 1) for seed in seeds])
        return Encoded({name: pixels}, [[START, *[IMAGE] * tokens, END] for _ in seeds])

    return encode


def _places(inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    return {"image_embeds_position_mask": (inputs["input_ids"] == IMAGE).long()}


def _crops(rows: list[list[int]]) -> Encoded:
    """Phi-4: a global view and one crop of 16 x 16 pixels, each of 2 x 2 visual tokens and a line end a row."""
    seeds = [seed for row in rows for seed in row]
    side = 16 // PATCH
    return Encoded(
        {
            "image_pixel_values": torch.stack([picture(seed, 2, 3, 16, 16) for seed in seeds]),
            "image_sizes": torch.tensor([[16, 16]] * len(seeds)),
            "image_attention_mask": torch.ones(len(seeds), 2, side, side),
        },
        [[IMAGE] * (2 * 2 * 3 + 1) for _ in seeds],
    )


TILES = 2


def _slots(rows: list[list[int]]) -> Encoded:
    """Llama 3.2: as many slots a row as the row with most pictures has, of two tiles each, filled or not."""
    slots = max(map(len, rows))
    pixels = torch.zeros(len(rows), slots, TILES, 3, SIDE, SIDE)
    ids = torch.zeros(len(rows), slots, dtype=torch.long)
    mask = torch.zeros(len(rows), slots, TILES, dtype=torch.long)
    mask[..., 0] = 1  # of an empty slot too, as its processor does
    for number, row in enumerate(rows):
        for slot, seed in enumerate(row):
            tiles = 1 + seed % TILES
            pixels[number, slot, :tiles] = picture(seed, tiles, 3, SIDE, SIDE)
            ids[number, slot], mask[number, slot, :tiles] = tiles, 1
    arguments = {"pixel_values": pixels, "aspect_ratio_ids": ids, "aspect_ratio_mask": mask}
    return Encoded(arguments, [[IMAGE] for row in rows for _ in row])


def _seen_from_here(inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """Words look at the pictures that stand before them in their prompt."""
    if "pixel_values" not in inputs:
        return {}
    mask, ids = inputs["aspect_ratio_mask"], inputs["input_ids"]
    before = (ids == IMAGE).cumsum(1)[..., None] > torch.arange(mask.shape[1])  # (R, S, K)
    return {"cross_attention_mask": (before[..., None] & mask[:, None].bool()).long()}


def _in_front(rows: list[list[int]]) -> Encoded:
    """GIT: one picture a prompt, in front of it and without a placeholder."""
    assert all(len(row) == 1 for row in rows), "git takes one picture a prompt"
    return Encoded({"pixel_values": torch.stack([picture(seed, 3, SIDE, SIDE) for [seed] in rows])}, [[] for _ in rows])


FAMILIES = (
    Family(
        "blip-2",
        "Blip2ForConditionalGeneration",
        config(
            "Blip2Config",
            text_config=_opt(),
            vision_config=tower("blip_2_vision_model"),
            qformer_config=QFORMER,
            num_query_tokens=QUERIES,
            image_token_index=IMAGE,
        ),
        stacked(QUERIES),
    ),
    Family(
        "instructblip",
        "InstructBlipForConditionalGeneration",
        config(
            "InstructBlipConfig",
            text_config=_opt(),
            vision_config=tower("instructblip_vision_model"),
            qformer_config=QFORMER,
            num_query_tokens=QUERIES,
            image_token_index=IMAGE,
        ),
        stacked(QUERIES),
        extra=_question,
    ),
    Family(
        "instructblipvideo",
        "InstructBlipVideoForConditionalGeneration",
        config(
            "InstructBlipVideoConfig",
            text_config=_opt(),
            vision_config=tower("instructblipvideo_vision_model"),
            qformer_config=QFORMER,
            num_query_tokens=QUERIES,
            video_token_index=IMAGE,
        ),
        _frames,
        extra=_question,
    ),
    Family(
        "llama4",
        "Llama4ForConditionalGeneration",
        config(
            "Llama4Config",
            text_config=text(
                "llama4_text",
                head_dim=8,
                intermediate_size_mlp=48,
                num_local_experts=2,
                interleave_moe_layer_step=2,
                attention_chunk_size=512,
            ),
            vision_config={
                "hidden_size": 16,
                "num_hidden_layers": 2,
                "num_attention_heads": 2,
                "intermediate_size": 64,
                "vision_output_dim": 32,
                "image_size": SIDE,
                "patch_size": PATCH,
                "projector_input_dim": 32,
                "projector_output_dim": 32,
            },
            image_token_index=IMAGE,
            boi_token_index=START,
            eoi_token_index=END,
        ),
        stacked(4, framed=True),
        unit="run",
    ),
    Family(
        "florence2",
        "Florence2ForConditionalGeneration",
        config(
            "Florence2Config",
            text_config={
                "model_type": "bart",
                "vocab_size": VOCABULARY,
                "d_model": WIDTH,
                "encoder_layers": 2,
                "decoder_layers": 2,
                "encoder_attention_heads": 4,
                "decoder_attention_heads": 4,
                "encoder_ffn_dim": 48,
                "decoder_ffn_dim": 48,
                "max_position_embeddings": 256,
                "decoder_start_token_id": BOS,
                "forced_eos_token_id": None,
                "dropout": 0.0,
                **IDS,
            },
            vision_config={
                "depths": [1, 1],
                "patch_size": [7, 3],
                "patch_stride": [4, 2],
                "patch_padding": [3, 1],
                "patch_prenorm": [False, True],
                "embed_dim": [8, 16],
                "num_heads": [2, 2],
                "num_groups": [2, 2],
                "window_size": 4,
                "drop_path_rate": 0.0,
                "projection_dim": WIDTH,
            },
            image_token_id=IMAGE,
            decoder_start_token_id=BOS,
        ),
        stacked(5),
    ),
    Family(
        "t5gemma2",
        "T5Gemma2ForConditionalGeneration",
        config(
            "T5Gemma2Config",
            encoder={
                "text_config": text("t5gemma2_text", head_dim=8, sliding_window=64),
                "vision_config": tower("siglip_vision_model", vision_use_head=False),
                "mm_tokens_per_image": 4,
                "image_token_index": IMAGE,
                "boi_token_index": START,
                "eoi_token_index": END,
            },
            decoder=text("t5gemma2_decoder", head_dim=8, sliding_window=64),
            image_token_index=IMAGE,
            eoi_token_index=END,
            decoder_start_token_id=BOS,
        ),
        stacked(4, framed=True),
        extra=lambda inputs: {"decoder_input_ids": torch.full((len(inputs["input_ids"]), 1), BOS)},
    ),
    Family(
        "kosmos-2",
        "Kosmos2ForConditionalGeneration",
        config(
            "Kosmos2Config",
            text_config={
                "vocab_size": VOCABULARY,
                "embed_dim": WIDTH,
                "layers": 2,
                "ffn_dim": 48,
                "attention_heads": 4,
                "max_position_embeddings": 256,
                "dropout": 0.0,
                "attention_dropout": 0.0,
                **IDS,
            },
            vision_config=tower("kosmos_2_vision_model"),
            latent_query_num=QUERIES,
        ),
        _masked("pixel_values", QUERIES),
        extra=_places,
    ),
    Family(
        "kosmos-2.5",
        "Kosmos2_5ForConditionalGeneration",
        config(
            "Kosmos2_5Config",
            text_config={
                "vocab_size": VOCABULARY,
                "embed_dim": WIDTH,
                "layers": 2,
                "ffn_dim": 48,
                "attention_heads": 4,
                "max_position_embeddings": 256,
                "dropout": 0.0,
                **IDS,
            },
            vision_config={
                "hidden_size": 16,
                "patch_embed_hidden_size": 3 * PATCH * PATCH,
                "intermediate_size": 24,
                "head_dim": 8,
                "num_hidden_layers": 2,
                "num_attention_heads": 2,
                "max_num_patches": 16,
            },
            latent_query_num=QUERIES,
        ),
        _masked("flattened_patches", QUERIES),
        extra=_places,
    ),
    Family(
        "phi4_multimodal",
        "Phi4MultimodalForCausalLM",
        config(
            "Phi4MultimodalConfig",
            **{**text(), "model_type": "phi4_multimodal", "max_position_embeddings": 512},
            original_max_position_embeddings=512,
            vision_config={
                "hidden_size": 16,
                "intermediate_size": 24,
                "num_hidden_layers": 2,
                "num_attention_heads": 2,
                "image_size": 16,
                "patch_size": PATCH,
                "crop_size": 16,
                "image_token_id": IMAGE,
            },
            audio_config={
                "hidden_size": 16,
                "intermediate_size": 24,
                "num_blocks": 1,
                "num_attention_heads": 2,
                "ext_pw_out_channel": 16,
                "depthwise_separable_out_channel": 16,
                "nemo_conv_channels": 16,
                "input_size": 16,
                "audio_token_id": 7,
            },
        ),
        _crops,
    ),
    Family(
        "mllama",
        "MllamaForConditionalGeneration",
        config(
            "MllamaConfig",
            text_config={**text("mllama_text_model"), "cross_attention_layers": [1]},
            vision_config={
                "hidden_size": 16,
                "num_hidden_layers": 2,
                "num_global_layers": 1,
                "attention_heads": 2,
                "intermediate_size": 24,
                "vision_output_dim": 32,
                "image_size": SIDE,
                "patch_size": PATCH,
                "max_num_tiles": TILES,
                "intermediate_layers_indices": [0],
                "supported_aspect_ratios": [[1, 1], [1, 2]],
            },
            image_token_index=IMAGE,
        ),
        _slots,
        extra=_seen_from_here,
    ),
    Family(
        "git",
        "GitForCausalLM",
        config(
            "GitConfig",
            vision_config={k: v for k, v in tower().items() if k != "model_type"},
            vocab_size=VOCABULARY,
            hidden_size=WIDTH,
            num_hidden_layers=2,
            num_attention_heads=4,
            intermediate_size=48,
            max_position_embeddings=256,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
            **IDS,
        ),
        _in_front,
    ),
)
OWN_CALLS: dict[str, Family] = {family.name: family for family in FAMILIES}
