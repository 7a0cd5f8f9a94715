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
        summary: One vector for each item, (I, D): its projected CLS token, the mean of its tokens, or what else the
            adapter's summary makes.
        tokens: Visual tokens of all items end to end, (N, D).
        offsets: Places of the items, (I + 1,) int64: item ``i`` is ``tokens[offsets[i]:offsets[i + 1]]``.
        text: Embeddings of the prompts, (R, S, D), from the host's own input embeddings. Values where ``text_mask`` is
            False are arbitrary and must not change the result.
        text_mask: Mask of the routing text, (R, S) bool: True where a token belongs to it, which padding, placeholders,
            special tokens and answers never do.
        rows: Number of the prompt that each item belongs to, (I,) int64.
        token_ids: Ids behind ``text``, (R, S) int64; None (default) where the host was called with embeddings.
        languages: BCP-47 tag of each prompt, or None where its language is unknown; None (default) where no prompt's is
            known.
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
        weights: Routing weights, (I, E) or (N, E), at least zero, each row adding up to one.
        logits: Router logits, float32, of the shape of ``weights``; the auxiliary losses are computed from them.
        context: What the router read in each item's prompt, (I, D), for experts that condition on it; None (default)
            where the router makes no context.
        losses: Scalar losses of the router's own by name, which are added to the training loss; None (default) for
            none.
        active: Numbers of the experts with a weight, (I, k) or (N, k) int64; None (default) means all of them.
        per_token: Whether the rows are visual tokens rather than items; None (default) reads it off the shape, where as
            many rows as items means items.
        abstain: Mask of the rows on which the router abstains, (I,) or (N,) bool: the layer hands these tokens on
            exactly as they came, whatever the weights (which still add up to one) and the layer's scales. None
            (default) for nowhere.
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
    """What the layer returns.

    Attributes:
        tokens: Rewritten visual tokens, (N, D), in the dtype they came in.
        routing: Routing that made them, after ``top_k``.
    """

    tokens: Tensor
    routing: Routing
