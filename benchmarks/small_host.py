"""The small LLaVA of random weights that benchmarks run on."""

from __future__ import annotations

import torch
from transformers import CLIPVisionConfig, LlavaConfig, LlavaForConditionalGeneration, Qwen2Config

__all__ = ["IMAGE", "PAD", "small_llava"]

IMAGE, PAD = 999, 0


def small_llava(
    device: str, *, text: tuple[int, int, int, int], vision: tuple[int, int, int, int], picture: int
) -> LlavaForConditionalGeneration:
    """Build the model, in float32 and evaluation mode, the same weights each time.

    Args:
        device: Torch device it runs on.
        text: Hidden size, intermediate size, layers and heads of the text model.
        vision: The same of the vision tower, whose patches are of 14 pixels.
        picture: Side of a picture in pixels.
    """

    def sizes(width: int, hidden: int, layers: int, heads: int) -> dict[str, int]:
        return {
            "hidden_size": width,
            "intermediate_size": hidden,
            "num_hidden_layers": layers,
            "num_attention_heads": heads,
        }

    torch.manual_seed(0)
    words = Qwen2Config(
        vocab_size=1000, num_key_value_heads=2, bos_token_id=1, eos_token_id=2, pad_token_id=PAD, **sizes(*text)
    )
    tower = CLIPVisionConfig(image_size=picture, patch_size=14, **sizes(*vision))
    config = LlavaConfig(vision_config=tower, text_config=words, image_token_id=IMAGE)
    return LlavaForConditionalGeneration(config).eval().to(device)
