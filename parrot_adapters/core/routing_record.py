"""Reading what was routed, while it is routed. Logs belong to the context that opened them (thread or task)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["RoutingRecord", "recording", "recordings_for"]


@dataclass(frozen=True, eq=False)
class RoutingRecord:
    """One pass through the layer.

    Attributes:
        weights: (I, E), or (N, E) for a router per token. float32.
        logits: same shape, float32.
        rows: (I,) int64, the prompt of each item.
        offsets: (I + 1,) int64 into the visual tokens.
        unit: what one row of ``weights`` is: ``"item"``, ``"run"``, ``"row"`` or ``"token"``.
        modality: ``"image"`` or ``"video"``.
        active: (I, k) chosen experts, or None for all.
        languages: a BCP-47 tag or None per prompt, or None.
        losses: the router's own losses by name.
        abstain: (I,) or (N,) bool, True where the router abstained and the weights were not used; None for nowhere.
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
        return replace(self, weights=self.weights.detach(), logits=self.logits.detach(), losses=losses)


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
