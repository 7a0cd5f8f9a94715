"""The library's own parts, registered through the hooks that strangers use."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from torch import Tensor, nn

from parrot_adapters import core
from parrot_adapters.adapter.grow_families import GROWN, grown_router
from parrot_adapters.data import DataFormat
from parrot_adapters.data.formats.caption import CaptionFormat
from parrot_adapters.data.formats.chat import ChatFormat
from parrot_adapters.data.formats.llava import LlavaFormat
from parrot_adapters.data.formats.sharegpt4v import ShareGPT4VFormat
from parrot_adapters.data.formats.webdataset import WebDatasetFormat
from parrot_adapters.data.sources.hub import open_by_datasets
from parrot_adapters.data.sources.json_files import open_json
from parrot_adapters.data.sources.source import OpenSource
from parrot_adapters.data.sources.tar_shards import open_shard
from parrot_adapters.evaluation.benchmark.benchmarks import BENCHMARKS, Benchmark
from parrot_adapters.evaluation.benchmark.training_format import MmmbFormat, open_table
from parrot_adapters.hosts import HostSpec
from parrot_adapters.hosts.families import FAMILIES
from parrot_adapters.plugins.hookspecs import Register, hookimpl

if TYPE_CHECKING:
    from parrot_adapters.adapter.handle import Attachment
    from parrot_adapters.core.routing_record import RoutingRecord

Modules = Register[Callable[..., nn.Module]]


@hookimpl
def register_routers(register: Modules) -> None:
    register("text-guided", core.TextGuidedRouter)
    register("text-guided-qkv", core.TextGuidedQKVRouter)
    register("per-token", core.PerTokenRouter)
    register("top-k", core.TopKRouter)
    register("language-id", core.LanguageIdRouter)
    register("visual-only", core.VisualOnlyRouter)
    register("uniform", core.UniformRouter)
    register("frozen", core.FrozenRouter)
    register(GROWN, grown_router)


@hookimpl
def register_experts(register: Modules) -> None:
    register("swiglu", core.SwiGLUExperts)
    register("mlp", core.MLPExperts)
    register("conditioned-swiglu", core.ConditionedSwiGLUExperts)
    register("shared-swiglu", core.SharedSwiGLUExperts)
    register("merged", core.MergedExperts)
    register("low-rank", core.LowRankExperts)


@hookimpl
def register_summaries(register: Modules) -> None:
    register("mean", core.MeanSummary)
    register("cls", core.ClsSummary)
    register("first-token", core.FirstTokenSummary)


@hookimpl
def register_losses(register: Register[Callable[..., object]]) -> None:
    register("load-balancing", lambda: lambda record: core.load_balancing_loss(record.weights, record.active))
    register("router-z", lambda: lambda record: core.router_z_loss(record.logits))
    register("language-supervision", LanguageSupervision)


@hookimpl
def register_hosts(register: Register[HostSpec | Callable[[], HostSpec]]) -> None:
    for name, spec in FAMILIES.items():
        register(name, spec)


@hookimpl
def register_observers(register: Register[Callable[..., object]]) -> None:
    register("routing-log-file", routing_log_file)
    register("tensorboard", tensorboard)


@hookimpl
def register_benchmarks(register: Register[Benchmark | Callable[[], Benchmark]]) -> None:
    for name, benchmark in BENCHMARKS.items():
        register(name, benchmark)


@hookimpl
def register_data_formats(register: Register[Callable[[], DataFormat]]) -> None:
    """``auto`` takes the first that recognises a record: the most particular come first."""
    register("webdataset", WebDatasetFormat)
    register("sharegpt4v", ShareGPT4VFormat)  # before llava, whose records its own also are
    register("llava", LlavaFormat)
    register("chat", ChatFormat)
    register("mmmb-tsv", MmmbFormat)
    register("caption", CaptionFormat)


@hookimpl
def register_data_sources(register: Register[OpenSource]) -> None:
    register(".json", open_json)
    register(".jsonl", open_json)
    register(".tsv", open_table)
    register(".tar", open_shard)
    register(".parquet", open_by_datasets)


def routing_log_file(handle: Attachment) -> object:
    """A line per pass, where the environment names a file."""
    path = os.environ.get("PARROT_ROUTING_LOG")
    if not path:
        return None
    from parrot_adapters.analysis.routing_observers import RoutingLogFile

    return RoutingLogFile(path)


def tensorboard(handle: Attachment) -> object:
    """Curves of routing, where the environment names a directory."""
    if not os.environ.get("PARROT_TENSORBOARD"):
        return None
    from parrot_adapters.analysis.tensorboard import TensorBoardObserver

    return TensorBoardObserver.from_environment(handle)


class LanguageSupervision:
    """Send each language to the expert it was given.

    Args:
        experts: expert number of each BCP-47 tag; items whose language is not in it are left alone.
    """

    def __init__(self, experts: Mapping[str, int]) -> None:
        self.experts = dict(experts)

    def __call__(self, record: RoutingRecord) -> Tensor:
        languages = record.item_languages()
        targets = [self.experts.get(language, -1) if language else -1 for language in languages]
        logits = record.logits
        return core.language_supervision_loss(logits, logits.new_tensor(targets).long())
