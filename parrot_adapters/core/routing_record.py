"""Reading what was routed, while it is routed. Logs belong to the context that opened them (thread or task)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["RoutingRecord", "counted_rows", "of_counted_rows", "recording", "recordings_for"]


@dataclass(frozen=True, eq=False)
class RoutingRecord:
    """What was routed in one pass through the layer.

    Attributes:
        weights: Routing weights, float32, (I, E), or (N, E) of a router that chooses for each visual token.
        logits: Router logits, float32, of the shape of ``weights``.
        rows: Number of the prompt that each item belongs to, (I,) int64.
        offsets: Places of the items among the visual tokens, (I + 1,) int64.
        unit: What a row of ``weights`` stands for: ``"item"``, ``"run"``, ``"row"`` or ``"token"``.
        modality: ``"image"`` (default) or ``"video"``.
        active: Numbers of the chosen experts, (I, k) int64; None (default) means all.
        languages: BCP-47 tag of each prompt, or None where its language is unknown; None (default) where no prompt's is
            known.
        losses: Scalar losses of the router's own by name; None (default) for none.
        abstain: Mask of the rows on which the router abstained and whose weights were not used, (I,) or (N,) bool; None
            (default) for nowhere.
        by_group: What each group of decoder layers makes of ``weights`` (``AdapterConfig.layer_groups``), (G, I, E) or
            (G, N, E); None (default) where all layers take the weights as they are.
    """

    weights: Tensor
    logits: Tensor
    rows: Tensor
    offsets: Tensor
    unit: str
    modality: str = "image"
    active: Tensor | None = None
    languages: tuple[str | None, ...] | None = None
    losses: dict[str, Tensor] | None = None
    abstain: Tensor | None = None
    by_group: Tensor | None = None

    def item_languages(self) -> list[str | None]:
        """The language of each row of ``weights``; None where unknown."""
        if self.languages is None:
            return [None] * self.weights.shape[0]
        per_item = [self.languages[row] for row in self.rows.tolist()]
        if self.unit != "token":
            return per_item
        sizes = (self.offsets[1:] - self.offsets[:-1]).tolist()
        return [language for language, size in zip(per_item, sizes, strict=True) for _ in range(size)]

    def detached(self) -> RoutingRecord:
        """The same numbers without their graph."""
        losses = None if self.losses is None else {k: v.detach() for k, v in self.losses.items()}
        by_group = None if self.by_group is None else self.by_group.detach()
        return replace(
            self, weights=self.weights.detach(), logits=self.logits.detach(), losses=losses, by_group=by_group
        )


_Open = tuple[int, list[RoutingRecord], bool]
_OPEN: ContextVar[tuple[_Open, ...]] = ContextVar("parrot_routing_logs", default=())


@contextmanager
def recording(key: int, *, graph: bool) -> Iterator[list[RoutingRecord]]:
    """Collect the records of the attachment ``key`` in this context, with their autograd graph if asked."""
    log: list[RoutingRecord] = []
    token = _OPEN.set((*_OPEN.get(), (key, log, graph)))
    try:
        yield log
    finally:
        _OPEN.reset(token)


def recordings_for(key: int) -> list[tuple[list[RoutingRecord], bool]]:
    """The logs open for ``key`` in this context."""
    return [(log, graph) for owner, log, graph in _OPEN.get() if owner == key]


_COUNTED: ContextVar[frozenset[int] | None] = ContextVar("parrot_counted_rows", default=None)


@contextmanager
def counted_rows(rows: Iterable[int]) -> Iterator[None]:
    """Prompts whose routing is used: records made inside the block are of these alone, in this context."""
    token = _COUNTED.set(frozenset(rows))
    try:
        yield
    finally:
        _COUNTED.reset(token)


def of_counted_rows(record: RoutingRecord) -> RoutingRecord | None:
    """A record of those items whose prompts count here; None where none does."""
    counted = _COUNTED.get()
    if counted is None:
        return record
    kept = [number for number, row in enumerate(record.rows.tolist()) if row in counted]
    if not kept:
        return None
    sizes = record.offsets.diff()
    items = sizes.new_tensor(kept)
    chosen = sizes[items]
    mine = items
    if record.unit == "token":  # a row of weights for each token
        places = [range(*record.offsets[number : number + 2].tolist()) for number in kept]
        mine = sizes.new_tensor([place for places_of_item in places for place in places_of_item])
    return replace(
        record,
        weights=record.weights[mine.to(record.weights.device)],
        logits=record.logits[mine.to(record.logits.device)],
        rows=record.rows[items],
        offsets=torch.cat([sizes.new_zeros(1), chosen.cumsum(0)]),
        active=None if record.active is None else record.active[mine.to(record.active.device)],
        abstain=None if record.abstain is None else record.abstain[mine.to(record.abstain.device)],
        by_group=None if record.by_group is None else record.by_group[:, mine.to(record.by_group.device)],
    )
