"""From a config to a layer: look the names up among the plugins, make the modules, seed their weights."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from parrot_adapters.adapter.config import AdapterConfig
from parrot_adapters.core import AlignmentLayer
from parrot_adapters.errors import ConfigError, PluginError, explain, suggest
from parrot_adapters.plugins import Component, blaming, manager

__all__ = ["build_layer"]


def build_layer(config: AdapterConfig, width: int) -> AlignmentLayer:
    """Make the layer that a configuration describes, in float32 on the CPU.

    Args:
        config: Settings of the adapter; ``summary="auto"`` means ``"mean"`` here, as no host is known.
        width: Hidden size D of the language model, which visual tokens have too.

    Returns:
        The layer, its weights initialised from ``config.seed``.

    Raises:
        UnknownNameError: Router, expert bank or summary is not registered.
        ConfigError: An option that a factory does not take.
        PluginError: A factory failed, or did not return a module.
    """
    router = manager.find("router", config.router, asked_by="AdapterConfig.router")
    expert = manager.find("expert", config.expert, asked_by="AdapterConfig.expert")
    name = "mean" if config.summary == "auto" else config.summary
    summary = manager.find("summary", name, asked_by="AdapterConfig.summary")
    # Initial weights depend on the seed alone, and the caller's random state is left as it was; torch.manual_seed
    # would seed the accelerators too.
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(config.seed)
        return AlignmentLayer(
            summary=_make(summary, {}, width),
            router=_make(router, config.router_options, width, config.num_experts),
            experts=_make(expert, config.expert_options, width, config.expert_hidden_size, config.num_experts),
            num_experts=config.num_experts,
            top_k=config.top_k,
            residual_scale=config.residual_scale,
            moe_scale=config.moe_scale,
            part_names={"summary": str(summary), "router": str(router), "experts": str(expert)},
        )


def _make(component: Component, options: Mapping[str, Any], *args: Any) -> nn.Module:
    _check_options(component, component.factory, options, len(args))
    with blaming(f"{component} could not be made.", given=f"arguments {args}, options {dict(options)}"):
        made = component.factory(*args, **options)
    if not isinstance(made, nn.Module):
        raise PluginError(f"{component} must make a torch.nn.Module, not {type(made).__name__}")
    return made


def _check_options(component: Component, factory: Callable[..., Any], options: Mapping[str, Any], taken: int) -> None:
    """Name an option the factory does not take, rather than let Python's TypeError do it."""
    try:
        parameters = list(inspect.signature(factory).parameters.values())
    except (TypeError, ValueError):
        return
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return
    known = [p.name for p in parameters[taken:] if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)]
    unknown = [f"{key!r}.{suggest(key, known)}" for key in options if key not in known]
    if unknown:
        raise ConfigError(
            explain(
                f"{component.kind} {component.name!r} takes no option {', '.join(unknown)}",
                known=", ".join(known) or "it takes none",
            )
        )
