"""A host that has not seen a picture yet: a vision tower and a language model with a fresh projector between them.

    python -m parrot_recipes.train.make_host hosts/parrot-7b

makes PARROT-7B's, for stage 1: CLIP ViT-L/14-336 (second-to-last layer, CLS token kept), a two-layer GELU projector,
Qwen1.5-7B-Chat (arXiv 2406.02539). Names are directories or the Hub's; any CLIP and any decoder with a chat model's
tokenizer will do. Needs memory for both models once more than their files.
"""

from __future__ import annotations

import argparse
from pathlib import Path

__all__ = ["make_host"]

IMAGE = "<image>"
CHAT = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image>\n{% elif part['type'] == 'text' %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def make_host(language_model: str, vision_tower: str, out: Path, *, dtype: str = "bfloat16", seed: int = 0) -> None:
    """Write a LLaVA directory, processor included.

    Args:
        language_model: a decoder with its tokenizer; ChatML markers are added where it has none.
        vision_tower: a CLIP with its image processor.
        out: the new directory.
        dtype: of its weights.
        seed: of the projector's.
    """
    import torch
    from transformers import (
        AutoModelForCausalLM,
        AutoModelForImageTextToText,
        AutoTokenizer,
        CLIPImageProcessor,
        CLIPVisionModel,
        LlavaConfig,
        LlavaProcessor,
    )

    text = AutoModelForCausalLM.from_pretrained(language_model, dtype=dtype)
    tower = CLIPVisionModel.from_pretrained(vision_tower, dtype=dtype)
    tokenizer = AutoTokenizer.from_pretrained(language_model)
    tokenizer.add_tokens([IMAGE, "<|im_start|>", "<|im_end|>"], special_tokens=True)
    rows = text.get_input_embeddings().num_embeddings
    if len(tokenizer) > rows:  # Qwen has rows to spare
        text.resize_token_embeddings(len(tokenizer))
    config = LlavaConfig(
        text_config=text.config,
        vision_config=tower.config,
        image_token_index=tokenizer.convert_tokens_to_ids(IMAGE),
        vision_feature_layer=-2,
        vision_feature_select_strategy="full",
        image_seq_length=(tower.config.image_size // tower.config.patch_size) ** 2 + 1,
        tie_word_embeddings=text.config.tie_word_embeddings,
    )
    torch.manual_seed(seed)
    host = AutoModelForImageTextToText.from_config(config, dtype=getattr(torch, dtype))
    host.model.language_model.load_state_dict(text.model.state_dict())
    host.lm_head.load_state_dict(text.lm_head.state_dict())
    host.model.vision_tower.load_state_dict(tower.state_dict())
    host.generation_config = text.generation_config
    processor = LlavaProcessor(
        CLIPImageProcessor.from_pretrained(vision_tower),
        tokenizer,
        patch_size=tower.config.patch_size,
        vision_feature_select_strategy="full",
        num_additional_image_tokens=1,  # CLS
        image_token=IMAGE,
        chat_template=CHAT,
    )
    host.save_pretrained(out)
    processor.save_pretrained(out)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A LLaVA of a CLIP and a language model, with a fresh projector.")
    parser.add_argument("out", type=Path)
    parser.add_argument("--language-model", default="Qwen/Qwen1.5-7B-Chat")
    parser.add_argument("--vision-tower", default="openai/clip-vit-large-patch14-336")
    parser.add_argument("--dtype", default="bfloat16")
    asked = parser.parse_args()
    make_host(asked.language_model, asked.vision_tower, asked.out, dtype=asked.dtype)
    print(f"written: {asked.out}")
