"""A host to compile, bare or with an adapter.

It has one layer on each side: compiling takes seconds, and more layers only repeat what one shows.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from miniatures import ADAPTER, FAMILIES, IMAGE, PROMPTS, awake
from miniatures.configs import config, text, tower

import parrot_adapters as pa

__all__ = ["LLAVA", "answer", "attached"]

LLAVA = replace(
    FAMILIES["llava"],
    config=config(
        "LlavaConfig",
        text_config=text(num_hidden_layers=1),
        vision_config=tower(num_hidden_layers=1),
        image_token_index=IMAGE,
    ),
)


def answer(model: Any, inputs: dict[str, Any]) -> torch.Tensor:
    with torch.no_grad():
        logits: torch.Tensor = model(**inputs).logits
    return logits


def attached(placement: str, **options: Any) -> Any:
    """The handle of an adapter of this placement. Its host has run once: transformers sets something up then."""
    ranks = {} if placement == "projector" else {"layer_rank": 2}
    handle = awake(pa.attach(LLAVA.build(), {**ADAPTER, "placement": placement, **ranks, **options}))
    answer(handle.model, LLAVA.batch(PROMPTS))
    return handle
