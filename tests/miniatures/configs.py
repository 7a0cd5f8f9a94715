"""Configs of the parts that families share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import transformers

from miniatures.prompts import BOS, EOS, PAD, PATCH, SIDE, VOCABULARY, WIDTH

SPECIAL = {"pad_token_id": PAD, "bos_token_id": BOS, "eos_token_id": EOS}


def text(model_type: str = "llama", **more: Any) -> dict[str, Any]:
    """A language model of two layers."""
    return {
        "model_type": model_type,
        "vocab_size": VOCABULARY,
        "hidden_size": WIDTH,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
        **SPECIAL,
        **more,
    }


def tower(model_type: str = "clip_vision_model", **more: Any) -> dict[str, Any]:
    """A vision tower of two layers."""
    return {
        "model_type": model_type,
        "hidden_size": 24,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": SIDE,
        "patch_size": PATCH,
        **more,
    }


def siglip(**more: Any) -> dict[str, Any]:
    return tower("siglip_vision_model", vision_use_head=False, **more)


def config(name: str, **values: Any) -> Callable[[], Any]:
    """A function that makes a config; nested dictionaries become configs there."""
    return lambda: getattr(transformers, name)(**values)
