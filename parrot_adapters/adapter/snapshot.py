"""An adapter as plain values: what files hold of it, with no host and no handle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from parrot_adapters.plugins import manager

if TYPE_CHECKING:
    from torch import Tensor

    from parrot_adapters.adapter.config import AdapterConfig
    from parrot_adapters.hosts.chat_format import ChatFormat
    from parrot_adapters.hosts.tensor_files import TensorSource
    from parrot_adapters.plugins import PluginInfo

__all__ = ["PLUGIN_KEYS", "AdapterSnapshot", "plugins_used"]

PLUGIN_KEYS = ("kind", "name", "plugin", "distribution", "version")


@dataclass(frozen=True, eq=False)
class AdapterSnapshot:
    """Everything of an adapter that a directory holds.

    Attributes:
        config: Its settings.
        chat: The chat format of its host.
        host: What its host is recognised by (:func:`parrot_adapters.hosts.fingerprint.fingerprint`).
        base_model: The host's name on the Hub; None where it has none.
        plugins: The plugins that made its parts, one mapping with :data:`PLUGIN_KEYS` each.
        weights: Tensors of its layer by name, or what they are made of while they are written; None where it holds a
            projector only.
        projector: Tensors of its projector by name; None where it owns none.
        lora_config: The settings of its LoRA as peft writes them to JSON; None where it has none.
        lora: Tensors of its LoRA by the names they have in a peft directory; None where it has none.
    """

    config: AdapterConfig
    chat: ChatFormat
    host: Mapping[str, Any]
    base_model: str | None
    plugins: Sequence[Mapping[str, Any]]
    weights: Mapping[str, Tensor | TensorSource] | None
    projector: Mapping[str, Tensor] | None
    lora_config: Mapping[str, Any] | None
    lora: Mapping[str, Tensor] | None


def plugins_used(
    config: AdapterConfig, model_type: str, host_plugin: PluginInfo | None, *, has_layer: bool
) -> list[dict[str, Any]]:
    """The plugins an adapter needs, without the built-in ones.

    Args:
        config: The adapter's settings.
        model_type: The host's.
        host_plugin: The plugin that declares the host; None where the library does.
        has_layer: Whether the adapter has a layer, made by a router, an expert and a summary.
    """
    kinds: tuple[str, ...] = ("router", "expert", "summary") if has_layer else ()
    if config.placement == "layers":
        kinds = tuple(kind for kind in kinds if kind != "expert")
    if has_layer and config.placement != "projector":
        kinds = (*kinds, "layer-expert")
    used = [manager.find(kind, getattr(config, kind.replace("-", "_"))) for kind in kinds]
    described = [(c.kind, c.name, c.plugin) for c in used if c.plugin.source != "built in"]
    if host_plugin is not None:
        described.append(("host", model_type, host_plugin))
    return [
        dict(zip(PLUGIN_KEYS, (kind, name, p.name, p.distribution, p.version), strict=True))
        for kind, name, p in described
    ]
