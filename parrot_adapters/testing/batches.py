"""Changes of a batch that must not, or must in a known way, change the answer. Pure functions; nothing is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from parrot_adapters.core import Routing, RoutingInputs, lengths, offsets_from_lengths
from parrot_adapters.testing.strategies import ExpertCall

__all__ = [
    "call_items",
    "cast",
    "describe",
    "fill_masked",
    "insert_columns",
    "item_alone",
    "positions",
    "reorder_rows",
    "take_items",
    "without_text",
]


def positions(offsets: Tensor, items: Sequence[int]) -> Tensor:
    """(n,) places in the flat tokens of the given items, in that order."""
    ranges = [torch.arange(int(offsets[i]), int(offsets[i + 1])) for i in items]
    return torch.cat(ranges) if ranges else torch.zeros(0, dtype=torch.int64)


def take_items(inputs: RoutingInputs, items: Sequence[int]) -> RoutingInputs:
    """These items, in this order, with all prompts."""
    index = torch.tensor(list(items), dtype=torch.int64)
    return replace(
        inputs,
        summary=inputs.summary[index],
        tokens=inputs.tokens[positions(inputs.offsets, items)],
        offsets=offsets_from_lengths(lengths(inputs.offsets)[index]),
        rows=inputs.rows[index],
    )


def reorder_rows(inputs: RoutingInputs, order: Sequence[int]) -> RoutingInputs:
    """The prompts in another order (or some of them), each item still with its own."""
    index = torch.tensor(list(order), dtype=torch.int64)
    place = {old: new for new, old in enumerate(order)}
    return replace(
        inputs,
        text=inputs.text[index],
        text_mask=inputs.text_mask[index],
        rows=torch.tensor([place[row] for row in inputs.rows.tolist()], dtype=torch.int64),
        token_ids=None if inputs.token_ids is None else inputs.token_ids[index],
        languages=None if inputs.languages is None else tuple(inputs.languages[row] for row in order),
    )


def item_alone(inputs: RoutingInputs, item: int) -> RoutingInputs:
    """One item with its own prompt and nothing else."""
    return reorder_rows(take_items(inputs, [item]), [int(inputs.rows[item])])


def fill_masked(inputs: RoutingInputs, garbage: Tensor) -> RoutingInputs:
    """Other embeddings (R, S, D) and ids where ``text_mask`` is False."""
    ids = inputs.token_ids
    return replace(
        inputs,
        text=torch.where(inputs.text_mask[..., None], inputs.text, garbage.to(inputs.text.dtype)),
        token_ids=None if ids is None else ids.masked_fill(~inputs.text_mask, 7),
    )


def insert_columns(inputs: RoutingInputs, at: int, count: int) -> RoutingInputs:
    """``count`` masked columns of zeros before column ``at``: padding at 0 (left) and S (right), else placeholders."""

    def insert(x: Tensor) -> Tensor:
        return torch.cat([x[:, :at], x.new_zeros(x.shape[0], count, *x.shape[2:]), x[:, at:]], dim=1)

    return replace(
        inputs,
        text=insert(inputs.text),
        text_mask=insert(inputs.text_mask),
        token_ids=None if inputs.token_ids is None else insert(inputs.token_ids),
    )


def without_text(inputs: RoutingInputs, row: int) -> RoutingInputs:
    """The prompt of ``row`` emptied: nothing in it may steer."""
    mask = inputs.text_mask.clone()
    mask[row] = False
    return replace(inputs, text_mask=mask)


def cast(inputs: RoutingInputs, dtype: torch.dtype, *, summary: torch.dtype | None = None) -> RoutingInputs:
    """Tokens and text in another dtype, and the summary in ``summary`` (default: the same)."""
    return replace(
        inputs,
        tokens=inputs.tokens.to(dtype),
        text=inputs.text.to(dtype),
        summary=inputs.summary.to(summary or dtype),
    )


def call_items(call: ExpertCall, items: Sequence[int]) -> ExpertCall:
    """A call of an expert bank with these items only, in this order (routing per item)."""
    index = torch.tensor(list(items), dtype=torch.int64)
    routing = call.routing
    chosen = Routing(
        weights=routing.weights[index],
        logits=routing.logits[index],
        context=None if routing.context is None else routing.context[index],
        active=None if routing.active is None else routing.active[index],
        per_token=routing.per_token,
    )
    tokens = call.tokens[positions(call.offsets, items)]
    return ExpertCall(tokens, offsets_from_lengths(lengths(call.offsets)[index]), chosen)


def describe(case: object) -> str:
    """A batch in one line, for messages."""
    if isinstance(case, RoutingInputs):
        mask = " ".join("".join("1" if on else "0" for on in row) for row in case.text_mask.tolist())
        parts = [f"items of {lengths(case.offsets).tolist()} tokens", f"rows {case.rows.tolist()}", f"text_mask {mask}"]
        if case.languages is not None:
            parts.append(f"languages {list(case.languages)}")
        if case.token_ids is not None:
            parts.append("with token_ids")
        biggest = float(case.text.float().abs().max()) if case.text.numel() else 0.0
        return ", ".join([*parts, f"|text| up to {biggest:.3g}", str(case.text.dtype).removeprefix("torch.")])
    if isinstance(case, ExpertCall):
        parts = [f"items of {lengths(case.offsets).tolist()} tokens"]
        if case.routing.weights.numel():
            parts.append(f"first weights {[round(w, 3) for w in case.routing.weights[0].tolist()]}")
        if case.routing.context is not None:
            parts.append("with context")
        return ", ".join([*parts, str(case.tokens.dtype).removeprefix("torch.")])
    if isinstance(case, tuple) and case and isinstance(case[0], RoutingInputs | ExpertCall):
        extra = f"; with {', '.join(str(c) for c in case[1:] if isinstance(c, int | float | list))}"
        return describe(case[0]) + (extra if len(extra) > 7 else "")
    return str(case)
