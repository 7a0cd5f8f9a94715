"""Every hook a plugin can implement. They run while things are assembled, never inside ``forward``.

A plugin is a module or object with some of these functions, marked ``@parrot_adapters.hookimpl``, named in the
entry-point group ``parrot_adapters`` of its distribution. Each hook hands it ``register(name, factory)``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, TypeVar

import pluggy

if TYPE_CHECKING:
    from torch import nn

    from parrot_adapters.data import DataFormat
    from parrot_adapters.data.sources.source import OpenSource
    from parrot_adapters.evaluation import Benchmark
    from parrot_adapters.hosts import HostSpec
    from parrot_adapters.plugins.examples import Example

PROJECT = "parrot_adapters"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)

T = TypeVar("T", contravariant=True)


class Register(Protocol[T]):
    """What a hook is handed: ``register("sinkhorn", SinkhornRouter)``."""

    def __call__(self, name: str, factory: T, /) -> None: ...


@hookspec
def register_routers(register: Register[Callable[..., nn.Module]]) -> None:
    """``factory(width, num_experts, **options)`` -> module, ``forward(RoutingInputs) -> Routing``."""


@hookspec
def register_experts(register: Register[Callable[..., nn.Module]]) -> None:
    """``factory(width, hidden_size, num_experts, **options)`` -> module, ``forward(tokens, offsets, routing)``."""


@hookspec
def register_summaries(register: Register[Callable[..., nn.Module]]) -> None:
    """``factory(width)`` -> module, ``forward(tokens, offsets, cls) -> (I, D)``."""


@hookspec
def register_losses(register: Register[Callable[..., object]]) -> None:
    """``factory(**options)`` -> callable ``(RoutingRecord) -> scalar Tensor``."""


@hookspec
def register_hosts(register: Register[HostSpec | Callable[[], HostSpec]]) -> None:
    """A ``parrot_adapters.HostSpec``, or a function that returns one: how to reach a family of models."""


@hookspec
def register_detectors(register: Register[Callable[..., object]]) -> None:
    """``factory(tokenizer)`` -> callable ``(token_ids (R, S), text_mask (R, S)) -> list[str | None]`` (BCP-47)."""


@hookspec
def register_observers(register: Register[Callable[..., object]]) -> None:
    """``factory(handle)`` -> callable ``(RoutingRecord) -> None`` for each pass, or None: not wanted."""


@hookspec
def register_benchmarks(register: Register[Benchmark | Callable[[], Benchmark]]) -> None:
    """A ``parrot_adapters.evaluation.Benchmark``, or a function that returns one: parallel multiple-choice files."""


@hookspec
def register_model_classes(register: Register[Callable[[], object]]) -> None:
    """``register(model_type, function)``: ``function()`` makes the classes of a model type known to transformers."""


@hookspec
def register_data_formats(register: Register[Callable[[], DataFormat]]) -> None:
    """``factory()`` -> ``parrot_adapters.data.DataFormat``: how one record of a training file becomes a dialogue."""


@hookspec
def register_data_sources(register: Register[OpenSource]) -> None:
    """``register(".xyz", opener)``: ``opener(path, streaming=...)`` -> ``parrot_adapters.data.Source``: its records."""


@hookspec
def register_examples(register: Register[Example]) -> None:
    """A ``parrot_adapters.Example``: a small host, data ... that paths ``example:NAME/FILE`` lead into."""
