"""Every hook a plugin can implement. They run while things are assembled, never inside ``forward``.

A plugin is a module or object with some of these functions, marked ``@parrot_adapters.hookimpl``, named in the
entry-point group ``parrot_adapters`` of its distribution, or given to ``parrot_adapters.plugins.register``. Each hook
is handed ``register(name, factory)``.

A distribution that offers a fixed set of components needs no hook: it names each in the entry-point group of its kind
(``parrot_adapters.routers``, ``parrot_adapters.experts``, ...), and is imported only when one of them is asked for.
"""

from __future__ import annotations

from typing import Any, Protocol

import pluggy

PROJECT = "parrot_adapters"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


class Register(Protocol):
    """The argument of every hook: ``register("sinkhorn", SinkhornRouter)``."""

    def __call__(self, name: str, factory: Any, /) -> None: ...


@hookspec
def register_routers(register: Register) -> None:
    """``factory(width, num_experts, **options)`` -> module, ``forward(RoutingInputs) -> Routing``."""


@hookspec
def register_experts(register: Register) -> None:
    """``factory(width, hidden_size, num_experts, **options)`` -> module, ``forward(tokens, offsets, routing)``."""


@hookspec
def register_layer_experts(register: Register) -> None:
    """``factory(in_features, out_features, num_experts, rank, width, **options)`` -> module,
    ``forward(tokens (N, in), weights (N, E), context (N, D) | None) -> (N, out)``: experts of one linear layer.
    """


@hookspec
def register_summaries(register: Register) -> None:
    """``factory(width)`` -> module, ``forward(tokens, offsets, cls) -> (I, D)``."""


@hookspec
def register_losses(register: Register) -> None:
    """``factory(**options)`` -> callable ``(RoutingRecord) -> scalar Tensor``."""


@hookspec
def register_hosts(register: Register) -> None:
    """A ``parrot_adapters.HostSpec``, or a function that returns one: how to reach a family of models."""


@hookspec
def register_detectors(register: Register) -> None:
    """``factory(tokenizer)`` -> callable ``(token_ids (R, S), text_mask (R, S)) -> list[str | None]`` (BCP-47)."""


@hookspec
def register_observers(register: Register) -> None:
    """``factory(handle)`` -> callable ``(RoutingRecord) -> None`` for each pass, or None: not wanted."""


@hookspec
def register_benchmarks(register: Register) -> None:
    """A ``parrot_adapters.evaluation.Benchmark``, or a function that returns one: parallel multiple-choice files."""


@hookspec
def register_model_classes(register: Register) -> None:
    """``register(model_type, function)``: ``function()`` makes the classes of a model type known to transformers.

    It is called when transformers first meets the type, in any program that has imported ``parrot_adapters``.
    """


@hookspec
def register_data_formats(register: Register) -> None:
    """``factory()`` -> ``parrot_adapters.data.DataFormat``: how one record of a training file becomes a dialogue."""


@hookspec
def register_data_sources(register: Register) -> None:
    """``register(".xyz", opener)``: ``opener(path, streaming=...)`` -> ``parrot_adapters.data.Source``: its records."""


@hookspec
def register_examples(register: Register) -> None:
    """A ``parrot_adapters.Example``: a small host, data ... that paths ``example:NAME/FILE`` lead into."""
