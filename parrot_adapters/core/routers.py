"""Routers: from what a prompt asks, choose experts for each image (letters: ``types.py``).

A router is a module ``forward(RoutingInputs) -> Routing`` made by ``factory(width, num_experts, **options)``. Both
routers here compute in float32 whatever the host's dtype, autocast included: a softmax over experts in half precision
is a known defect of the original.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from torch import Tensor, nn
from torch.nn.functional import linear

from parrot_adapters.core.attention import NORMALIZERS, attend, clean_text, known_normalizer
from parrot_adapters.core.precision import float32_inside
from parrot_adapters.core.prior import add_log_prior, known_prior
from parrot_adapters.core.types import Routing, RoutingInputs
from parrot_adapters.core.weights import linear_weight

__all__ = ["TextGuidedQKVRouter", "TextGuidedRouter"]


class TextGuidedRouter(nn.Module):
    """The paper's router: attend from the image to its prompt, then one linear gate (arXiv 2406.02539, eq. 3-4).

    ``context = softmax(s H^T / sqrt(D)) H``, ``weights = softmax(W context)``.

    Args:
        width: Hidden size D of the language model, which visual tokens have too.
        num_experts: Number of experts E, at least 1.
        normalize: ``"rms"`` (default) RMS-normalises summary and text first; ``"none"`` is the formula as written,
            for released checkpoints. Measured: without it the routing hardly depends on the language, or one expert
            takes every language, depending on the scale of the host's embeddings.
        prior: Constant shares of the experts, (E,), positive: ``weights = softmax(W context + log prior)``; None
            (default) gives all the same.

    Raises:
        ConfigError: Unknown ``normalize``, impossible ``prior``.
    """

    conformance: ClassVar[Mapping[str, Any]] = {"uses_text": True, "sparse": False, "stochastic": False}

    splits: ClassVar[tuple[str, ...]] = ("gate",)  # parameters with a row per expert, for parrot_adapters.grow

    def __init__(
        self, width: int, num_experts: int, *, normalize: str = "rms", prior: Sequence[float] | None = None
    ) -> None:
        super().__init__()
        self.normalize, self.prior = known_normalizer(normalize), known_prior(prior, num_experts)
        self.make_projections(width)
        self.gate = linear_weight(num_experts, width)  # (E, D)

    def make_projections(self, width: int) -> None:
        """Make the weights that :meth:`query_key_value` needs; this router has none."""

    def query_key_value(self, query: Tensor, text: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Query (I, D), key and value (R, S, D) of the attention, of normalised summaries and text."""
        return query, text, text

    def read(self, query: Tensor, rows: Tensor, inputs: RoutingInputs) -> Tensor:
        """Let each query (I, D) read the prompt of its row, (I,): the contexts (I, D), in float32."""
        normalize = NORMALIZERS[self.normalize]
        text = normalize(clean_text(inputs.text, inputs.text_mask))  # (R, S, D)
        return attend(*self.query_key_value(normalize(query.float()), text), inputs.text_mask, rows)

    def choose(self, context: Tensor) -> Tensor:
        """Router logits (I, E) of what was read, (I, D)."""
        return add_log_prior(linear(context, self.gate.float()), self.prior)

    def forward(self, inputs: RoutingInputs) -> Routing:
        with float32_inside(inputs.text):
            context = self.read(inputs.summary, inputs.rows, inputs)  # (I, D)
            logits = self.choose(context)  # (I, E)
            return Routing(logits.softmax(-1), logits, context)


class TextGuidedQKVRouter(TextGuidedRouter):
    """The router of :class:`TextGuidedRouter`, with learned query, key and value projections before the attention.

    Args:
        width: Hidden size D of the language model, which visual tokens have too.
        num_experts: Number of experts E, at least 1.
        normalize: ``"rms"`` (default) RMS-normalises summary and text before the attention; ``"none"`` does not.
        prior: Constant shares of the experts, (E,), positive, added to the logits as ``log prior``; None (default)
            gives all the same.

    Raises:
        ConfigError: Unknown ``normalize``, impossible ``prior``.
    """

    def make_projections(self, width: int) -> None:
        self.query = linear_weight(width, width)
        self.key = linear_weight(width, width)
        self.value = linear_weight(width, width)

    def query_key_value(self, query: Tensor, text: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return linear(query, self.query.float()), linear(text, self.key.float()), linear(text, self.value.float())
