"""From a config to a layer: look the names up among the plugins, make the modules, seed their weights."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from parrot_adapters.adapter.config import AdapterConfig
from parrot_adapters.adapter.expert_sizes import default_hidden_size
from parrot_adapters.core import AlignmentLayer, LayerExperts
from parrot_adapters.core.layer_experts import SUFFIX
from parrot_adapters.errors import ConfigError, PluginError, explain, suggest
from parrot_adapters.plugins import Component, blaming, manager

__all__ = ["build_layer", "stored_features"]

Features = Mapping[str, tuple[int, int]]
ENDS = ("compress", "down")  # of low-rank experts: their last axes are the layer's input and output


def build_layer(
    config: AdapterConfig, width: int, features: Features | None = None, *, empty_experts: bool = False
) -> AlignmentLayer:
    """Make the layer that a configuration describes, in float32 on the CPU.

    Args:
        config: Settings of the adapter; ``summary="auto"`` means ``"mean"`` here, as no host is known.
        width: Hidden size D of the language model, which visual tokens have too.
        features: Path in the language model -> (in_features, out_features) of each linear layer that gets experts;
            needed with ``placement="layers"`` or ``"both"``.
        empty_experts: Whether the library's own experts come on the meta device, for weights that are there already to
            be assigned to them (default: no). A plugin's are made in earnest: it may compute while it makes them.

    Returns:
        The layer, its weights initialised from ``config.seed``.

    Raises:
        UnknownNameError: Router, expert bank or summary is not registered.
        ConfigError: An option that a factory does not take.
        PluginError: A factory failed, or did not return a module.
    """
    router = manager.find("router", config.router, asked_by="AdapterConfig.router")
    expert = None
    if config.placement != "layers":
        expert = manager.find("expert", config.expert, asked_by="AdapterConfig.expert")
    inside = None
    if config.placement != "projector":
        inside = manager.find("layer-expert", config.layer_expert, asked_by="AdapterConfig.layer_expert")
    layer_options, options = _divided(config, inside)
    name = "mean" if config.summary == "auto" else config.summary
    summary = manager.find("summary", name, asked_by="AdapterConfig.summary")
    # Initial weights depend on the seed alone, and the caller's random state is left as it was; torch.manual_seed
    # would seed the accelerators too.
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(config.seed)
        # In this order, in which they draw their weights.
        parts = {
            "summary": _make(summary, {}, width),
            "router": _make(router, config.router_options, width, config.num_experts),
        }
        experts = layer_experts = None
        if expert is not None:
            # A plugin's experts inside the layers draw their weights after these.
            with _meta(empty_experts and expert.built_in and (inside is None or inside.built_in)):
                size = config.expert_hidden_size or default_hidden_size(config.expert, width)
                experts = _make(expert, options, width, size, config.num_experts)
        if inside is not None:
            make = partial(_make_with, inside, layer_options)
            with _meta(empty_experts and inside.built_in):
                layer_experts = LayerExperts(
                    _given(features),
                    config.num_experts,
                    config.layer_rank,
                    make=make,
                    width=width,
                    groups=config.layer_groups,
                )
        return AlignmentLayer(
            **parts,
            experts=experts,
            num_experts=config.num_experts,
            top_k=config.top_k,
            residual_scale=config.residual_scale,
            moe_scale=config.moe_scale,
            layer_experts=layer_experts,
            part_names={"summary": str(summary), "router": str(router), "experts": str(expert)},
        )


def _meta(wanted: bool) -> AbstractContextManager[object]:
    return torch.device("meta") if wanted else nullcontext()


def stored_features(weights: Mapping[str, Tensor]) -> Features:
    """What :func:`build_layer` takes as ``features``, of a layer whose state dict is known and whose host is not."""
    prefix, end = "layer_experts.", f"{SUFFIX}.compress"
    paths = [name[len(prefix) : -len(end)] for name in weights if name.startswith(prefix) and name.endswith(end)]
    named = {path: [f"{prefix}{path}{SUFFIX}.{name}" for name in ENDS] for path in paths}
    found = {path: [weights[name] for name in names if name in weights] for path, names in named.items()}
    whole = {path: pair for path, pair in found.items() if len(pair) == 2 and all(one.ndim for one in pair)}
    return {path: (compress.shape[-1], down.shape[-1]) for path, (compress, down) in whole.items()}


def _given(features: Features | None) -> Features:
    if not features:
        raise ConfigError(
            explain(
                "experts inside the layers need a language model to stand in.",
                to_do="attach(model, AdapterConfig(placement=...)), which finds its layers; build_layer alone needs "
                "features=, and the files of an adapter tell them of built-in kinds only",
            )
        )
    return features


def _divided(config: AdapterConfig, inside: Component | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """``expert_options`` of the experts inside the layers, and of those at the projector."""
    if inside is None:
        return {}, dict(config.expert_options)
    if config.placement == "layers":
        return dict(config.expert_options), {}
    taken = _known_options(inside.factory, 5) or ()
    own = {name: value for name, value in config.expert_options.items() if name in taken}
    return own, {name: value for name, value in config.expert_options.items() if name not in taken}


def _make_with(component: Component, options: Mapping[str, Any], *args: Any) -> nn.Module:
    return _make(component, options, *args)


def _make(component: Component, options: Mapping[str, Any], *args: Any) -> nn.Module:
    _check_options(component, component.factory, options, len(args))
    with blaming(f"{component} could not be made.", given=f"arguments {args}, options {dict(options)}"):
        made = component.factory(*args, **options)
    if not isinstance(made, nn.Module):
        raise PluginError(f"{component} must make a torch.nn.Module, not {type(made).__name__}")
    return made


def _check_options(component: Component, factory: Callable[..., Any], options: Mapping[str, Any], taken: int) -> None:
    """Name an option the factory does not take, rather than let Python's TypeError do it."""
    known = _known_options(factory, taken)
    if known is None:
        return
    unknown = [f"{key!r}.{suggest(key, known)}" for key in options if key not in known]
    if unknown:
        raise ConfigError(
            explain(
                f"{component.kind} {component.name!r} takes no option {', '.join(unknown)}",
                known=", ".join(known) or "it takes none",
            )
        )


def _known_options(factory: Callable[..., Any], taken: int) -> list[str] | None:
    """Names of a factory's options, after so many arguments; None where it does not say or takes any."""
    try:
        parameters = list(inspect.signature(factory).parameters.values())
    except (TypeError, ValueError):
        return None
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return None
    return [p.name for p in parameters[taken:] if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)]
