"""Text-guided routing of every visual token by itself (letters: ``types.py``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import nn
from torch.nn.functional import linear

from parrot_adapters.core.attention import NORMALIZERS, attend, clean_text, known_normalizer
from parrot_adapters.core.precision import float32_inside
from parrot_adapters.core.prior import add_log_prior, known_prior
from parrot_adapters.core.ragged import spread
from parrot_adapters.core.types import Routing, RoutingInputs
from parrot_adapters.core.weights import linear_weight

__all__ = ["PerTokenRouter"]


class PerTokenRouter(nn.Module):
    """Each visual token reads the prompt and chooses for itself: ``softmax(W softmax(v H^T / sqrt(D)) H)``.

    The paper's router with the token in place of the summary. The answer has one row per token; ``context`` stays one
    per item, read by the summary, for experts that condition on it.

    Args:
        width: Hidden size D of the language model, which visual tokens have too.
        num_experts: Number of experts E, at least 1.
        normalize: ``"rms"`` (default) RMS-normalises tokens, summary and text before the attention; ``"none"`` does
            not.
        prior: Constant shares of the experts, (E,), positive, added to the logits as ``log prior``; None (default)
            gives all the same.

    Raises:
        ConfigError: Unknown ``normalize``, impossible ``prior``.
    """

    conformance: ClassVar[Mapping[str, Any]] = {
        "uses_text": True,
        "per_token": True,
        "sparse": False,
        "stochastic": False,
    }

    splits: ClassVar[tuple[str, ...]] = ("gate",)

    def __init__(
        self, width: int, num_experts: int, *, normalize: str = "rms", prior: Sequence[float] | None = None
    ) -> None:
        super().__init__()
        self.normalize, self.prior = known_normalizer(normalize), known_prior(prior, num_experts)
        self.gate = linear_weight(num_experts, width)  # (E, D)

    def forward(self, inputs: RoutingInputs) -> Routing:
        with float32_inside(inputs.text):
            normalize = NORMALIZERS[self.normalize]
            num_tokens = inputs.tokens.shape[0]
            text = normalize(clean_text(inputs.text, inputs.text_mask))  # (R, S, D)
            query = normalize(torch.cat([inputs.tokens.float(), inputs.summary.float()]))  # (N + I, D)
            rows = torch.cat([spread(inputs.rows, inputs.offsets, num_tokens), inputs.rows])  # (N + I,)
            context = attend(query, text, text, inputs.text_mask, rows)  # (N + I, D)
            logits = add_log_prior(linear(context[:num_tokens], self.gate.float()), self.prior)  # (N, E)
            return Routing(logits.softmax(-1), logits, context[num_tokens:], per_token=True)
