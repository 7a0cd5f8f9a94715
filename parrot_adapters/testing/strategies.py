"""Hypothesis strategies for everything a router or an expert bank meets (letters: ``parrot_adapters.core.types``).

Shapes, masks and tags are drawn directly. Tensor values come from a drawn seed through a local ``torch.Generator``, so
that a failure shrinks quickly to a small batch, replays, and leaves torch's global random state alone.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy
from torch import Tensor

from parrot_adapters.core import Routing, RoutingInputs, item_mean, offsets_from_lengths

__all__ = [
    "EXTREME_SCALES",
    "HALF_DTYPES",
    "LANGUAGES",
    "ExpertCall",
    "expert_calls",
    "language_tags",
    "prompts",
    "routing_inputs",
    "routings",
    "tensors",
    "visual_batches",
]

LANGUAGES = ("en", "zh", "pt", "ar", "tr", "ru", "pt-BR", "qaa")  # qaa: private use, known to nobody
EXTREME_SCALES = (0.0, 1e-6, 1e3, 1e4)
HALF_DTYPES = (torch.bfloat16, torch.float16)
VOCABULARY = 100

ORDINARY = st.just(1.0)


class ExpertCall(NamedTuple):
    """The arguments of one call of an expert bank.

    Attributes:
        tokens: Visual tokens of all items end to end, (N, D).
        offsets: Places of the items, (I + 1,) int64.
        routing: Routing of the items, or of the tokens.
    """

    tokens: Tensor
    offsets: Tensor
    routing: Routing


@st.composite
def tensors(
    draw: DrawFn,
    shape: tuple[int, ...],
    *,
    dtype: torch.dtype = torch.float32,
    scales: SearchStrategy[float] = ORDINARY,
) -> Tensor:
    """Normal values times a drawn scale.

    Args:
        draw: Hypothesis' own; callers leave it out.
        shape: Shape of the tensor.
        dtype: Dtype of the drawn tensors, a floating ``torch.dtype``; values are drawn in float32 and rounded.
        scales: Strategy of the factor of all values, for example ``st.sampled_from(EXTREME_SCALES)``.
    """
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**16 - 1)))
    return (torch.randn(shape, generator=generator) * draw(scales)).to(dtype)


@st.composite
def visual_batches(
    draw: DrawFn,
    width: int,
    *,
    min_items: int = 1,
    max_items: int = 4,
    empty_items: bool = False,
    max_tokens: int = 5,
    dtype: torch.dtype = torch.float32,
    scales: SearchStrategy[float] = ORDINARY,
) -> tuple[Tensor, Tensor]:
    """Ragged visual tokens (N, D) and offsets (I + 1,).

    Args:
        draw: Hypothesis' own; callers leave it out.
        width: Width D of the drawn tokens.
        min_items: Least number of items I.
        max_items: Largest number of items I.
        empty_items: Whether items without tokens occur.
        max_tokens: Largest number of tokens of one item.
        dtype: Dtype of the drawn tensors, a floating ``torch.dtype``; values are drawn in float32 and rounded.
        scales: Strategy of the factor of all values, for example ``st.sampled_from(EXTREME_SCALES)``.
    """
    sizes = draw(st.lists(st.integers(0 if empty_items else 1, max_tokens), min_size=min_items, max_size=max_items))
    tokens = draw(tensors((sum(sizes), width), dtype=dtype, scales=scales))
    return tokens, offsets_from_lengths(torch.tensor(sizes, dtype=torch.int64))


@st.composite
def prompts(
    draw: DrawFn,
    width: int,
    *,
    rows: int,
    empty_prompts: bool = False,
    max_text: int = 6,
    dtype: torch.dtype = torch.float32,
    scales: SearchStrategy[float] = ORDINARY,
) -> tuple[Tensor, Tensor, Tensor]:
    """Text embeddings (R, S, D), mask (R, S), ids (R, S). Masked positions may lie anywhere: padding on either side,
    placeholders and special tokens between.

    Args:
        draw: Hypothesis' own; callers leave it out.
        width: Width D of the embeddings.
        rows: Number of prompts R.
        empty_prompts: Whether prompts without any routing text occur.
        max_text: Largest number of tokens S.
        dtype: Dtype of the drawn tensors, a floating ``torch.dtype``; values are drawn in float32 and rounded.
        scales: Strategy of the factor of all values, for example ``st.sampled_from(EXTREME_SCALES)``.
    """
    length = draw(st.integers(1, max_text))
    bits = draw(st.lists(st.integers(0 if empty_prompts else 1, 2**length - 1), min_size=rows, max_size=rows))
    mask = torch.tensor([[bool(b >> s & 1) for s in range(length)] for b in bits], dtype=torch.bool)
    text = draw(tensors((rows, length, width), dtype=dtype, scales=scales))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**16 - 1)))
    return text, mask.reshape(rows, length), torch.randint(VOCABULARY, (rows, length), generator=generator)


def language_tags(rows: int, *, required: bool = False) -> SearchStrategy[tuple[str | None, ...] | None]:
    """A BCP-47 tag or None per row, or None for the whole batch.

    Args:
        rows: Number of prompts R.
        required: Whether every prompt has a tag (default: no).
    """
    tag = st.sampled_from(LANGUAGES) if required else st.none() | st.sampled_from(LANGUAGES)
    declared = st.lists(tag, min_size=rows, max_size=rows).map(tuple)
    return declared if required else st.none() | declared


@st.composite
def routing_inputs(
    draw: DrawFn,
    width: int,
    *,
    max_items: int = 4,
    max_rows: int = 3,
    empty_items: bool = False,
    empty_prompts: bool = False,
    languages: bool | None = None,
    token_ids: bool | None = None,
    dtype: torch.dtype = torch.float32,
    scales: SearchStrategy[float] = ORDINARY,
) -> RoutingInputs:
    """Everything a router is handed: several prompts, some with several images and some with none.

    Args:
        draw: Hypothesis' own; callers leave it out.
        width: Width D of tokens and embeddings.
        max_items: Largest number of items I.
        max_rows: Largest number of prompts R.
        empty_items: Whether items without tokens occur.
        empty_prompts: Whether prompts without routing text occur.
        languages: True declares a language for every prompt; None sometimes does, for some.
        token_ids: True always gives token ids; None sometimes does.
        dtype: Dtype of tokens and text, a floating ``torch.dtype``. The summary is float32, as the mean of tokens is.
        scales: Strategy of the factor of all values, for example ``st.sampled_from(EXTREME_SCALES)``.
    """
    tokens, offsets = draw(
        visual_batches(width, max_items=max_items, empty_items=empty_items, dtype=dtype, scales=scales)
    )
    rows = draw(st.integers(1, max_rows))
    text, mask, ids = draw(prompts(width, rows=rows, empty_prompts=empty_prompts, dtype=dtype, scales=scales))
    items = offsets.numel() - 1
    return RoutingInputs(
        summary=item_mean(tokens, offsets),
        tokens=tokens,
        offsets=offsets,
        text=text,
        text_mask=mask,
        rows=torch.tensor(draw(st.lists(st.integers(0, rows - 1), min_size=items, max_size=items)), dtype=torch.int64),
        token_ids=ids if token_ids or draw(st.booleans()) else None,
        languages=draw(language_tags(rows, required=bool(languages))),
    )


@st.composite
def routings(
    draw: DrawFn,
    width: int,
    num_experts: int,
    *,
    rows: int,
    items: int,
    dtype: torch.dtype = torch.float32,
    context: bool | None = None,
) -> Routing:
    """A dense routing with weights that sum to one.

    Args:
        draw: Hypothesis' own; callers leave it out.
        width: Width D of the context.
        num_experts: Number of experts E, at least 1.
        rows: Number of rows: I, or N for a routing of each token.
        items: Number of items I.
        dtype: Dtype of the weights.
        context: True always gives a context (I, D), False never does, None sometimes does.
    """
    logits = draw(tensors((rows, num_experts)))
    given = draw(st.booleans()) if context is None else context
    return Routing(
        weights=logits.softmax(-1).to(dtype),
        logits=logits,
        context=draw(tensors((items, width))) if given else None,
        per_token=True if rows != items else None,
    )


@st.composite
def expert_calls(
    draw: DrawFn,
    width: int,
    num_experts: int,
    *,
    max_items: int = 4,
    empty_items: bool = False,
    context: bool | None = None,
    dtype: torch.dtype = torch.float32,
    scales: SearchStrategy[float] = ORDINARY,
) -> ExpertCall:
    """A ragged batch with a dense routing per item: the arguments of one call of an expert bank.

    Args:
        draw: Hypothesis' own; callers leave it out.
        width: Width D of the drawn tokens.
        num_experts: Number of experts E, at least 1.
        max_items: Largest number of items I.
        empty_items: Whether items without tokens occur.
        context: True always gives a context (I, D), False never does, None sometimes does.
        dtype: Dtype of the drawn tensors, a floating ``torch.dtype``; values are drawn in float32 and rounded.
        scales: Strategy of the factor of all values, for example ``st.sampled_from(EXTREME_SCALES)``.
    """
    tokens, offsets = draw(
        visual_batches(width, max_items=max_items, empty_items=empty_items, dtype=dtype, scales=scales)
    )
    items = offsets.numel() - 1
    return ExpertCall(tokens, offsets, draw(routings(width, num_experts, rows=items, items=items, context=context)))
