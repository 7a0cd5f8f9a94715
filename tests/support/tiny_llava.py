"""A LLaVA so small that it is built anew for a test: two layers, 64 words, images of four visual tokens."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

IMAGE, TOKENS = 3, 4  # placeholder id, visual tokens of an image


def build_llava(width: int = 16, dtype: torch.dtype = torch.float32, seed: int = 0) -> Any:
    from transformers import CLIPVisionConfig, LlavaConfig, LlavaForConditionalGeneration, Qwen2Config

    vision = CLIPVisionConfig(
        hidden_size=8, intermediate_size=8, num_hidden_layers=2, num_attention_heads=2, image_size=8, patch_size=4
    )
    text = Qwen2Config(
        vocab_size=64,
        hidden_size=width,
        intermediate_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )
    config = LlavaConfig(vision_config=vision, text_config=text, image_token_index=IMAGE, vision_feature_layer=-2)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return LlavaForConditionalGeneration(config).to(dtype).eval()


def two_prompts() -> dict[str, Tensor]:
    """Two prompts of one image each."""
    ids = torch.tensor([[11, 12, *[IMAGE] * TOKENS, 13, 14], [15, *[IMAGE] * TOKENS, 16, 17, 18]])
    pixels = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "pixel_values": pixels}
