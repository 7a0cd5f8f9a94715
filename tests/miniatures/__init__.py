"""Random-weight miniature hosts, built offline from configs, and valid inputs for them.

A :class:`Family` knows how to build one model and how to turn images (small integers, their seeds) into the arguments
its processor would make and the ids that stand for them in a prompt. :meth:`Family.batch` does the rest:

    family = FAMILIES["llava"]
    model = family.build()
    inputs = family.batch([[20, 21, Image(1), 22], [30, 31, 32]])      # two rows, the second without images

All families share one vocabulary: ids below ``FIRST_WORD`` are special, the rest are words.
"""

from __future__ import annotations

from typing import Any

import torch

from miniatures import fixed_size, in_rows, llava_like, own_size, qwen_like
from miniatures.configs import text, tower
from miniatures.family import Family
from miniatures.prompts import ASSISTANT, BOS, END_TURN, FIRST_WORD, IMAGE, PROMPTS, SYSTEM, TURN, USER, Image, Video
from miniatures.writing import tokenizer

__all__ = [
    "ADAPTER",
    "ASSISTANT",
    "BOS",
    "END_TURN",
    "FAMILIES",
    "FIRST_WORD",
    "IMAGE",
    "KINDS",
    "PROMPTS",
    "SYSTEM",
    "TURN",
    "USER",
    "Family",
    "Image",
    "Video",
    "awake",
    "text",
    "tokenizer",
    "tower",
]

ADAPTER = {"num_experts": 3, "expert_hidden_size": 16}
FAMILIES: dict[str, Family] = {
    family.name: family for kind in (llava_like, qwen_like, fixed_size, in_rows, own_size) for family in kind.FAMILIES
}

# One family of each kind, for what need not run on all of them in the default tier.
KINDS = {
    "llava": "as many visual tokens for each picture, a plain decoder",
    "llava_next": "tiles: as many tokens as the picture's size asks for",
    "qwen3_vl": "packed patches, features of deep layers, positions in three dimensions",
    "gemma3": "token types that say what is a picture, attention windows",
    "ovis2": "a projector that is part of the tower, indicator tokens",
    "fuyu": "no tower at all",
    "idefics3": "pictures in the rows of their prompts",
    "lfm2_vl": "pictures of their own size in one padded batch, a decoder that convolves",
}


def awake(handle: Any) -> Any:
    """Give an untrained adapter something to say, the same every time; its handle again."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in handle.module.named_parameters():
            if name.endswith("down") or "gate" in name:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.5)
    return handle
