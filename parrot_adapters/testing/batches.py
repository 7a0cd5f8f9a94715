"""Changes of a batch that must not, or must in a known way, change the answer. Pure functions; nothing is drawn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from typing import Any

import torch
from torch import Tensor

from parrot_adapters.core import Routing, RoutingInputs, lengths, offsets_from_lengths
from parrot_adapters.testing.strategies import ExpertCall

__all__ = [
    "call_items",
    "cast",
    "describe",
    "fill_masked",
    "garbage",
    "insert_columns",
    "item_alone",
    "map_tensors",
    "named_values",
    "other_items",
    "other_neighbours",
    "positions",
    "reorder_rows",
    "take_items",
    "without_text",
]

OTHER = {"en": "tr", None: "zh"}  # in place of a neighbour's language; "en" in place of any other
LONGEST = 160  # characters of a list in a message


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


def garbage(inputs: RoutingInputs, size: float) -> Tensor:
    """(R, S, D) values of that size for :func:`fill_masked`."""
    return torch.randn(inputs.text.shape, generator=torch.Generator().manual_seed(5)) * size


def other_neighbours(inputs: RoutingInputs, item: int) -> RoutingInputs:
    """Other values for all items but one and all prompts but its own; masks and shapes, and what is its, as they were.

    Prompts in another language are declared as such.
    """
    generator = torch.Generator().manual_seed(9)
    own = torch.zeros(inputs.tokens.shape[0], dtype=torch.bool)
    own[positions(inputs.offsets, [item])] = True
    row = int(inputs.rows[item])
    mine = torch.arange(inputs.text.shape[0]) == row  # (R,)
    is_item = torch.arange(inputs.rows.numel()) == item  # (I,)

    def others(x: Tensor, kept: Tensor) -> Tensor:
        drawn = torch.randn(x.shape, generator=generator).to(x.dtype)
        return torch.where(kept.reshape(-1, *[1] * (x.ndim - 1)), x, drawn)

    ids, tags = inputs.token_ids, inputs.languages
    return replace(
        inputs,
        summary=others(inputs.summary, is_item),
        tokens=others(inputs.tokens, own),
        text=others(inputs.text, mine),
        token_ids=None if ids is None else torch.where(mine[:, None], ids, (ids + 41) % 97),
        languages=None
        if tags is None
        else tuple(tag if r == row else OTHER.get(tag, "en") for r, tag in enumerate(tags)),
    )


def other_items(call: ExpertCall, item: int) -> ExpertCall:
    """Other tokens, and another context, for all items but one; weights and shapes as they were."""
    generator = torch.Generator().manual_seed(9)
    tokens = torch.randn(call.tokens.shape, generator=generator).to(call.tokens.dtype)
    places = positions(call.offsets, [item])
    tokens[places] = call.tokens[places]
    context = call.routing.context
    if context is not None:
        drawn = torch.randn(context.shape, generator=generator).to(context.dtype)
        drawn[item] = context[item]
        context = drawn
    return call._replace(tokens=tokens, routing=call.routing._replace(context=context))


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
    """The prompt of ``row`` emptied: it has no routing text."""
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


def map_tensors(case: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """A batch with every tensor changed, those of its routing included."""
    if isinstance(case, Tensor):
        return change(case)
    if isinstance(case, RoutingInputs):
        return replace(case, **{f.name: map_tensors(getattr(case, f.name), change) for f in fields(case)})
    if isinstance(case, ExpertCall | Routing):
        return type(case)(*(map_tensors(value, change) for value in case))
    return case


def named_values(case: Any, prefix: str = "") -> dict[str, Any]:
    """Everything in a batch by its name: ``{"tokens": ..., "routing.weights": ...}``."""
    names = [f.name for f in fields(case)] if isinstance(case, RoutingInputs) else case._fields
    found: dict[str, Any] = {}
    for name in names:
        value = getattr(case, name)
        found |= named_values(value, f"{name}.") if isinstance(value, Routing) else {f"{prefix}{name}": value}
    return found


def describe(case: object) -> str:
    """A batch in one line, for messages."""
    if isinstance(case, RoutingInputs):
        mask = " ".join("".join("1" if on else "0" for on in row) for row in case.text_mask.tolist())
        parts = [_sizes(case.offsets), f"rows {_short(case.rows.tolist())}", f"text_mask {_short(mask)}"]
        if case.languages is not None:
            parts.append(f"languages {list(case.languages)}")
        if case.token_ids is not None:
            parts.append("with token_ids")
        biggest = float(case.text.float().abs().max()) if case.text.numel() else 0.0
        return ", ".join([*parts, f"|text| up to {biggest:.3g}", str(case.text.dtype).removeprefix("torch.")])
    if isinstance(case, ExpertCall):
        parts = [_sizes(case.offsets)]
        if case.routing.weights.numel():
            parts.append(f"first weights {[round(w, 3) for w in case.routing.weights[0].tolist()]}")
        if case.routing.context is not None:
            parts.append("with context")
        return ", ".join([*parts, str(case.tokens.dtype).removeprefix("torch.")])
    if isinstance(case, tuple) and case and isinstance(case[0], RoutingInputs | ExpertCall):
        extra = f"; with {', '.join(str(c) for c in case[1:] if isinstance(c, int | float | list))}"
        return describe(case[0]) + (extra if len(extra) > 7 else "")
    return str(case)


def _sizes(offsets: Tensor) -> str:
    return f"items of {_short(lengths(offsets).tolist())} tokens"


def _short(shown: object) -> str:
    text = str(shown)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."
