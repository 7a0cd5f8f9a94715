"""A host to compile, bare or with an adapter, and how many graphs its compilation made.

It has one layer on each side: compiling takes seconds, and more layers only repeat what one shows.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import torch
from miniatures import ADAPTER, FAMILIES, IMAGE, PROMPTS, Family, awake
from miniatures.configs import config, text, tower
from torch._dynamo.testing import CompileCounter

import parrot_adapters as pa

__all__ = ["LLAVA", "answer", "attached", "graphs_after_each"]

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


def attached(placement: str, family: Family = LLAVA, **options: Any) -> Any:
    """The handle of an adapter of this placement. Its host has run once: transformers sets something up then."""
    ranks = {} if placement == "projector" else {"layer_rank": 2}
    handle = awake(pa.attach(family.build(), {**ADAPTER, "placement": placement, **ranks, **options}))
    answer(handle.model, family.batch(PROMPTS))
    return handle


def graphs_after_each(model: Any, batches: Iterable[dict[str, Any]], *, dynamic: bool | None = None) -> list[int]:
    """How many graphs a model compiled afresh has after each of the batches."""
    torch._dynamo.reset()
    counter, found = CompileCounter(), []
    compiled = torch.compile(model, backend=counter, dynamic=dynamic)
    for inputs in batches:
        answer(compiled, inputs)
        found.append(int(counter.frame_count))
    torch._dynamo.reset()
    return found
