"""The mixture-of-experts language-alignment layer, for any torch model: imports torch and einops, nothing else.

Reading order: ``types``, ``layer``, ``routers``, ``attention``, ``experts``, ``summaries``, ``losses``, ``ragged``,
``weights``; then the other routers (``control_routers``, ``topk_router``, ``token_router``, ``language_router``, with
``prior``, ``grown_router``) and expert banks (``merged_experts``, ``lowrank_experts``, ``shared_experts``), and
``layer_experts``, which stand inside a model's own layers.
"""

from parrot_adapters.core.control_routers import FrozenRouter, UniformRouter, VisualOnlyRouter
from parrot_adapters.core.evaluation_mode import evaluation_mode
from parrot_adapters.core.experts import ConditionedSwiGLUExperts, ExpertBank, MLPExperts, SwiGLUExperts
from parrot_adapters.core.gated_layer_experts import GatedLayerExpert
from parrot_adapters.core.grown_router import GrownRouter
from parrot_adapters.core.language_router import LanguageIdRouter, find_language
from parrot_adapters.core.layer import AlignmentLayer, keep_top_k
from parrot_adapters.core.layer_experts import LayerExpert, LayerExperts, token_weights
from parrot_adapters.core.losses import language_supervision_loss, load_balancing_loss, router_z_loss
from parrot_adapters.core.lowrank_experts import LowRankExperts
from parrot_adapters.core.merged_experts import MergedExperts
from parrot_adapters.core.ragged import item_mean, item_of_token, lengths, offsets_from_lengths, spread
from parrot_adapters.core.routers import TextGuidedQKVRouter, TextGuidedRouter
from parrot_adapters.core.routing_record import RoutingRecord
from parrot_adapters.core.routing_statistics import RoutingStatistics
from parrot_adapters.core.shared_experts import SharedSwiGLUExperts
from parrot_adapters.core.summaries import ClsSummary, FirstTokenSummary, MeanSummary
from parrot_adapters.core.token_router import PerTokenRouter
from parrot_adapters.core.topk_router import TopKRouter
from parrot_adapters.core.types import Aligned, Routing, RoutingInputs

__all__ = [
    "Aligned",
    "AlignmentLayer",
    "ClsSummary",
    "ConditionedSwiGLUExperts",
    "ExpertBank",
    "FirstTokenSummary",
    "FrozenRouter",
    "GatedLayerExpert",
    "GrownRouter",
    "LanguageIdRouter",
    "LayerExpert",
    "LayerExperts",
    "LowRankExperts",
    "MLPExperts",
    "MeanSummary",
    "MergedExperts",
    "PerTokenRouter",
    "Routing",
    "RoutingInputs",
    "RoutingRecord",
    "RoutingStatistics",
    "SharedSwiGLUExperts",
    "SwiGLUExperts",
    "TextGuidedQKVRouter",
    "TextGuidedRouter",
    "TopKRouter",
    "UniformRouter",
    "VisualOnlyRouter",
    "evaluation_mode",
    "find_language",
    "item_mean",
    "item_of_token",
    "keep_top_k",
    "language_supervision_loss",
    "lengths",
    "load_balancing_loss",
    "offsets_from_lengths",
    "router_z_loss",
    "spread",
    "token_weights",
]
