"""An adapter made ready for a host: settings that mean something there, a module, a chat format. Nothing is put on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from parrot_adapters.adapter.build_layer import build_layer
from parrot_adapters.adapter.config import LAYER_DEFAULTS, AdapterConfig
from parrot_adapters.adapter.expert_sizes import default_hidden_size
from parrot_adapters.adapter.router_fits import require_fitting_router
from parrot_adapters.errors import ConfigError, HostError, explain
from parrot_adapters.hosts.chat_format import ChatFormat
from parrot_adapters.hosts.host_parts import HostParts
from parrot_adapters.hosts.linear_layers import find_linear_layers, linear_features, meant_names
from parrot_adapters.plugins import blaming, manager

if TYPE_CHECKING:
    from parrot_adapters.core import AlignmentLayer

__all__ = ["Detector", "PreparedAdapter", "as_adapter_config", "layer_features", "make_detector", "prepare_adapter"]

Detector = Callable[[Tensor, Tensor], list[str | None]]


@dataclass(frozen=True, eq=False)
class PreparedAdapter:
    """What a :class:`CarriedAdapter` is made of.

    Attributes:
        parts: The host, taken apart as the adapter's settings say.
        config: Settings, ``summary="auto"`` replaced by what it means on this host.
        layer: The module, on the CPU; None where the adapter holds a projector only.
        chat: The chat format of the host's processor.
        detector: Asked for languages when none were declared; None for nobody.
        owns_projector: Whether the projector's weights are the adapter's.
        lora: A ``peft.LoraConfig`` or its arguments; None for none.
        projector_weights: What the projector that it owns is to hold; None leaves the host's, or there is none.
        lora_weights: What its LoRA is to hold; None leaves it as it begins, or there is none.
        source: The file that the projector's weights are from, for messages; None where they are from no file.
        host_seen: What the host is recognised by, where that was asked already; None where it was not.
    """

    parts: HostParts
    config: AdapterConfig
    layer: AlignmentLayer | None
    chat: ChatFormat
    detector: Detector | None
    owns_projector: bool
    lora: Any
    projector_weights: Mapping[str, Tensor] | None = None
    lora_weights: Mapping[str, Tensor] | None = None
    source: Path | None = None
    host_seen: Mapping[str, Any] | None = None


def prepare_adapter(
    parts: HostParts, config: AdapterConfig, *, processor: Any, chat: ChatFormat, owns_projector: bool, lora: Any
) -> PreparedAdapter:
    """A new adapter.

    Args:
        parts: The host.
        config: Settings.
        processor: Processor or tokenizer of the host; None for none.
        chat: The chat format where there is no processor.
        owns_projector: Whether the projector's weights are the adapter's.
        lora: A ``peft.LoraConfig`` or its arguments; None for none.

    Raises:
        HostError: The host has not what the settings ask for.
        ConfigError: Unknown names or impossible settings.
    """
    resolved = _resolved(config, parts)
    layer = build_layer(resolved, parts.width, layer_features(parts, resolved))
    require_fitting_router(layer, resolved, parts.width)
    return PreparedAdapter(
        parts=parts,
        config=resolved,
        layer=layer,
        chat=chat if processor is None else ChatFormat.from_processor(processor),
        detector=make_detector(config, processor),
        owns_projector=owns_projector,
        lora=lora,
    )


def as_adapter_config(config: AdapterConfig | Mapping[str, Any] | None) -> AdapterConfig:
    """A configuration from whatever a caller has.

    Raises:
        ConfigError: it is not one.
    """
    if config is None:
        return AdapterConfig()
    if isinstance(config, Mapping):
        return AdapterConfig.from_dict(config)
    if not isinstance(config, AdapterConfig):
        raise ConfigError(f"config must be an AdapterConfig or a mapping of its settings, not {type(config).__name__}")
    return config


def layer_features(parts: HostParts, config: AdapterConfig) -> dict[str, tuple[int, int]] | None:
    """The linear layers of a host that get experts, by path, and what they map; None where the config wants none.

    Raises:
        ConfigError: names or numbers of layers that the host does not have.
        HostError: its language model is no list of layers.
    """
    if config.placement == "projector":
        return None
    found = find_linear_layers(parts, config.layer_modules, config.layers)
    return {path: linear_features(linear) for path, linear in found.items()}


def make_detector(config: AdapterConfig, processor: Any) -> Detector | None:
    """The language detector that a configuration names.

    Raises:
        ConfigError: it names one, and there is no processor to read text with.
    """
    if config.detector is None:
        return None
    if processor is None:
        raise ConfigError(f"detector={config.detector!r} reads text, so attach() needs processor=")
    tokenizer = getattr(processor, "tokenizer", processor)
    found = manager.find("detector", config.detector, asked_by="AdapterConfig.detector")
    with blaming(f"{found} could not be made."):
        detector: Detector = found.factory(tokenizer)
    return detector


def _resolved(config: AdapterConfig, parts: HostParts) -> AdapterConfig:
    """The config with what it leaves to the host replaced by what that is here."""
    if config.placement != "projector":
        by_default = set(config.layer_modules) == set(LAYER_DEFAULTS["layer_modules"])
        names = meant_names(parts, config.layer_modules, config.layers, by_default=by_default)
        config = AdapterConfig.from_dict({**config.to_dict(), "layer_modules": names})
    if config.expert_hidden_size is None:
        kind = None if config.placement == "layers" else config.expert
        config = replace(config, expert_hidden_size=default_hidden_size(kind, parts.width))
    if config.summary == "auto":
        summary = "mean" if parts.spec.summary == "cls" and not parts.has_cls else parts.spec.summary
        config = AdapterConfig.from_dict({**config.to_dict(), "summary": summary})
    if config.summary == "cls" and not parts.has_cls:
        missing = "nothing is known of this host's" if parts.spec.cls is None else "this host's tower has none"
        raise HostError(
            explain(
                f"summary='cls' needs the vision tower's CLS token, and {missing}.",
                given=f"model_type {parts.model_type!r}",
                to_do="use summary='mean', or install the plugin that knows the family "
                "(LLaVA: pip install parrot-host-llava)",
            )
        )
    return config
