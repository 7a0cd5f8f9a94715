"""The mixture-of-experts language-alignment layer, for any torch model: imports torch and einops, nothing else.

Reading order: ``types``, ``layer``, ``routers``, ``attention``, ``experts``, ``summaries``, ``losses``, ``ragged``.
"""

from parrot_adapters.core.experts import ConditionedSwiGLUExperts, ExpertBank, MLPExperts, SwiGLUExperts
from parrot_adapters.core.layer import AlignmentLayer, keep_top_k
from parrot_adapters.core.losses import language_supervision_loss, load_balancing_loss, router_z_loss
from parrot_adapters.core.ragged import item_mean, item_of_token, lengths, offsets_from_lengths, spread
from parrot_adapters.core.routers import TextGuidedQKVRouter, TextGuidedRouter
from parrot_adapters.core.summaries import ClsSummary, FirstTokenSummary, MeanSummary
from parrot_adapters.core.types import Aligned, Routing, RoutingInputs

__all__ = [
    "Aligned",
    "AlignmentLayer",
    "ClsSummary",
    "ConditionedSwiGLUExperts",
    "ExpertBank",
    "FirstTokenSummary",
    "MLPExperts",
    "MeanSummary",
    "Routing",
    "RoutingInputs",
    "SwiGLUExperts",
    "TextGuidedQKVRouter",
    "TextGuidedRouter",
    "item_mean",
    "item_of_token",
    "keep_top_k",
    "language_supervision_loss",
    "lengths",
    "load_balancing_loss",
    "offsets_from_lengths",
    "router_z_loss",
    "spread",
]
