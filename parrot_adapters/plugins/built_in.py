"""The library's own components by kind and name: where each is, and nothing of it imported before it is asked for."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["BUILT_IN"]

BUILT_IN: Mapping[str, Mapping[str, str]] = {
    "router": {
        "text-guided": "parrot_adapters.core.routers:TextGuidedRouter",
        "text-guided-qkv": "parrot_adapters.core.routers:TextGuidedQKVRouter",
        "per-token": "parrot_adapters.core.token_router:PerTokenRouter",
        "top-k": "parrot_adapters.core.topk_router:TopKRouter",
        "language-id": "parrot_adapters.core.language_router:LanguageIdRouter",
        "visual-only": "parrot_adapters.core.control_routers:VisualOnlyRouter",
        "uniform": "parrot_adapters.core.control_routers:UniformRouter",
        "frozen": "parrot_adapters.core.control_routers:FrozenRouter",
        "grown": "parrot_adapters.adapter.grow_families:grown_router",
    },
    "expert": {
        "swiglu": "parrot_adapters.core.experts:SwiGLUExperts",
        "mlp": "parrot_adapters.core.experts:MLPExperts",
        "conditioned-swiglu": "parrot_adapters.core.experts:ConditionedSwiGLUExperts",
        "shared-swiglu": "parrot_adapters.core.shared_experts:SharedSwiGLUExperts",
        "merged": "parrot_adapters.core.merged_experts:MergedExperts",
        "low-rank": "parrot_adapters.core.lowrank_experts:LowRankExperts",
    },
    "layer-expert": {
        "low-rank": "parrot_adapters.core.layer_experts:LayerExpert",
        "gated": "parrot_adapters.core.gated_layer_experts:GatedLayerExpert",
    },
    "summary": {
        "mean": "parrot_adapters.core.summaries:MeanSummary",
        "cls": "parrot_adapters.core.summaries:ClsSummary",
        "first-token": "parrot_adapters.core.summaries:FirstTokenSummary",
    },
    "loss": {
        "load-balancing": "parrot_adapters.core.record_losses:load_balancing",
        "router-z": "parrot_adapters.core.record_losses:router_z",
        "language-supervision": "parrot_adapters.core.record_losses:LanguageSupervision",
    },
    "host": {
        "idefics": "parrot_adapters.hosts.families:IDEFICS",
        "inkling": "parrot_adapters.hosts.families:INKLING",
        "fuyu": "parrot_adapters.hosts.families:FUYU",
        "glm-v": "parrot_adapters.hosts.families:GLM_V",
        "llama4": "parrot_adapters.hosts.families:LLAMA4",
        "mllama": "parrot_adapters.hosts.families:MLLAMA",
        "blip-2": "parrot_adapters.hosts.families:BLIP2",
        "blip-video": "parrot_adapters.hosts.families:BLIP_VIDEO",
        "florence2": "parrot_adapters.hosts.families:FLORENCE2",
        "t5gemma2": "parrot_adapters.hosts.families:T5GEMMA2",
        "kosmos-2": "parrot_adapters.hosts.families:KOSMOS2",
        "kosmos-2.5": "parrot_adapters.hosts.families:KOSMOS2_5",
        "phi4-multimodal": "parrot_adapters.hosts.families:PHI4_MULTIMODAL",
        "git": "parrot_adapters.hosts.families:GIT",
        "cross-attention": "parrot_adapters.hosts.families:CROSS_ATTENTION",
        "diffusion-gemma": "parrot_adapters.hosts.families:DIFFUSION_GEMMA",
        "pi0": "parrot_adapters.hosts.families:PI0",
        "no-prompt": "parrot_adapters.hosts.families:NO_PROMPT",
        "udop": "parrot_adapters.hosts.families:UDOP",
        "granite4-vision": "parrot_adapters.hosts.families:GRANITE4_VISION",
    },
    "observer": {
        "routing-log-file": "parrot_adapters.analysis.observers_from_environment:routing_log_file",
        "tensorboard": "parrot_adapters.analysis.observers_from_environment:tensorboard",
    },
    "benchmark": {
        "mmmb": "parrot_adapters.evaluation.benchmark.benchmarks:MMMB",
        "mmbench": "parrot_adapters.evaluation.benchmark.benchmarks:MMBENCH",
        "emoji": "parrot_adapters.evaluation.benchmark.benchmarks:EMOJI",
    },
    # The most particular first: `format: auto` takes the first that recognises a record, and every ShareGPT4V record is
    # one of LLaVA's too.
    "data-format": {
        "webdataset": "parrot_adapters.data.formats.webdataset:WebDatasetFormat",
        "sharegpt4v": "parrot_adapters.data.formats.sharegpt4v:ShareGPT4VFormat",
        "llava": "parrot_adapters.data.formats.llava:LlavaFormat",
        "chat": "parrot_adapters.data.formats.chat:ChatFormat",
        "mmmb-tsv": "parrot_adapters.evaluation.benchmark.training_format:MmmbFormat",
        "caption": "parrot_adapters.data.formats.caption:CaptionFormat",
    },
    "data-source": {
        ".json": "parrot_adapters.data.sources.json_files:open_json",
        ".jsonl": "parrot_adapters.data.sources.json_files:open_json",
        ".tsv": "parrot_adapters.evaluation.benchmark.training_format:open_table",
        ".tar": "parrot_adapters.data.sources.tar_shards:open_shard",
        ".parquet": "parrot_adapters.data.sources.hub_datasets:open_by_datasets",
    },
}
