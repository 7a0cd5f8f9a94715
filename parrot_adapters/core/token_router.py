"""Text-guided routing of every visual token by itself (letters: ``types.py``)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch

from parrot_adapters.core.precision import float32_inside
from parrot_adapters.core.ragged import spread
from parrot_adapters.core.routers import TextGuidedRouter
from parrot_adapters.core.types import Routing, RoutingInputs

__all__ = ["PerTokenRouter"]


class PerTokenRouter(TextGuidedRouter):
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

    def forward(self, inputs: RoutingInputs) -> Routing:
        with float32_inside(inputs.text):
            num_tokens = inputs.tokens.shape[0]
            query = torch.cat([inputs.tokens.float(), inputs.summary.float()])  # (N + I, D)
            rows = torch.cat([spread(inputs.rows, inputs.offsets, num_tokens), inputs.rows])  # (N + I,)
            context = self.read(query, rows, inputs)  # (N + I, D)
            logits = self.choose(context[:num_tokens])  # (N, E)
            return Routing(logits.softmax(-1), logits, context[num_tokens:], per_token=True)
