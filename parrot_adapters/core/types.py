"""What flows through the layer. The dimension letters of the whole package are defined here.

    R  rows of the batch (prompts)          D  width of visual tokens and text embeddings
    S  text tokens of the longest prompt    E  experts
    I  items (routing units: images)        F  hidden width of one expert
    N  visual tokens, all items end to end  k  active experts

Visual tokens stay flat and ragged: item ``i`` owns ``tokens[offsets[i]:offsets[i + 1]]``. Nothing is padded to the
largest image and nothing loops over samples.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

__all__ = ["IGNORED", "Aligned", "Routing", "RoutingInputs"]

IGNORED = -100
"""Label of a position that is not learned; what torch's cross-entropy and every host leave out."""


@dataclass(frozen=True, eq=False)
class RoutingInputs:
    """Everything a router may look at. New fields may be added; none will be removed.

    Attributes:
        summary: (I, D) one vector per item: its projected CLS token, or the mean of its tokens, ...
        tokens: (N, D) visual tokens of all items end to end.
        offsets: (I + 1,) int64, item ``i`` is ``tokens[offsets[i]:offsets[i + 1]]``.
        text: (R, S, D) embeddings of the prompts, from the host's own input embeddings. Values where ``text_mask``
            is False are arbitrary and must not change the result.
        text_mask: (R, S) bool, True for routing text: no padding, placeholders, special tokens, answers.
        rows: (I,) int64, the prompt each item belongs to.
        token_ids: (R, S) int64 ids behind ``text``, or None when the host was called with embeddings.
        languages: one BCP-47 tag or None per row, or None when nobody declared or detected any.
    """

    summary: Tensor
    tokens: Tensor
    offsets: Tensor
    text: Tensor
    text_mask: Tensor
    rows: Tensor
    token_ids: Tensor | None = None
    languages: tuple[str | None, ...] | None = None


class Routing(NamedTuple):
    """A router's answer, per item (I, E) or per visual token (N, E). New fields may be added; none will be removed.

    Attributes:
        weights: (I, E) or (N, E), >= 0, rows sum to one.
        logits: float32, same shape as ``weights``; the auxiliary losses read them.
        context: (I, D) what the prompt said, for experts that condition on it; None if the router made none.
        losses: scalar losses of the router's own, by name, to be added to the training loss; None for none.
        active: (I, k) or (N, k) int64, the experts with non-zero weight; None means all of them.
        per_token: True or False where the router says so; None reads it off the shape (rows = items means per item).
        abstain: (I,) or (N,) bool, True where the layer must hand the tokens on exactly as they came, whatever the
            weights (which still sum to one) and whatever its scales; None for nowhere.
    """

    weights: Tensor
    logits: Tensor
    context: Tensor | None = None
    losses: Mapping[str, Tensor] | None = None
    active: Tensor | None = None
    per_token: bool | None = None
    abstain: Tensor | None = None

    def routes_tokens(self, num_items: int) -> bool:
        """Whether the rows are visual tokens rather than items."""
        return self.weights.shape[0] != num_items if self.per_token is None else self.per_token


class Aligned(NamedTuple):
    """What the layer returns: the rewritten tokens (N, D), and the routing that made them."""

    tokens: Tensor
    routing: Routing
