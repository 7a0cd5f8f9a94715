"""A stored adapter made ready for a host: everything is checked before the host is touched."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from parrot_adapters.adapter.adapter_files import CHECKPOINT, LORA_CONFIG, PROJECTOR, WEIGHTS
from parrot_adapters.adapter.build_layer import build_layer
from parrot_adapters.adapter.fitting_layer import fitting_layer
from parrot_adapters.adapter.prepare_adapter import PreparedAdapter, layer_features, make_detector
from parrot_adapters.adapter.read_adapter_files import StoredAdapter, require_same_tensors
from parrot_adapters.errors import (
    CheckpointError,
    ConfigError,
    HostMismatchError,
    ParrotWarning,
    PluginError,
    UnknownNameError,
    explain,
)
from parrot_adapters.hosts.fingerprint import fingerprint, peft_differs, weights_differ
from parrot_adapters.hosts.host_parts import HostParts
from parrot_adapters.hosts.lora import LanguageModelLora, lora_arguments
from parrot_adapters.hosts.lora_settings import LoraPlan
from parrot_adapters.plugins import manager

__all__ = ["prepare_stored"]


def prepare_stored(
    parts: HostParts, stored: StoredAdapter, *, processor: Any, strict: bool, stacklevel: int = 3
) -> PreparedAdapter:
    """A stored adapter; its projector and LoRA take their weights over when they are on the host.

    Args:
        parts: The host, as it is without any adapter.
        stored: The adapter.
        processor: Processor or tokenizer of the host; only an adapter with a language detector needs it.
        strict: Whether a doubt is an error; else it is a warning.
        stacklevel: Of the warnings.

    Raises:
        CheckpointError: Damaged.
        HostMismatchError: Made for another architecture, or (strict) other weights.
        PluginError: A plugin that it needs is missing.
    """
    here = fingerprint(parts)
    stored.require_architecture(here)
    _require_plugins(stored, parts)
    for message in _doubts(stored, here):
        if strict:
            raise HostMismatchError(message)
        warnings.warn(message, ParrotWarning, stacklevel=stacklevel)
    layer = None
    if stored.weights is not None:
        build = partial(build_layer, stored.config, parts.width, layer_features(parts, stored.config))
        layer = fitting_layer(build, stored.config, stored.weights, stored.directory / WEIGHTS)
    projector = parts.module(parts.projector)
    if stored.projector is not None and projector is not None:
        require_same_tensors(projector.state_dict(), stored.projector, stored.directory / PROJECTOR)
    lora = None if stored.lora_config is None else lora_arguments(stored.lora_config)
    if lora is not None:
        _lora_plan(parts, lora, stored).require_weights(stored.lora or {})
    return PreparedAdapter(
        parts=parts,
        config=stored.config,
        layer=layer,
        chat=stored.chat,
        detector=make_detector(stored.config, processor),
        owns_projector=stored.projector is not None,
        lora=lora,
        projector_weights=stored.projector,
        lora_weights=stored.lora,
        source=stored.directory / PROJECTOR,
        host_seen=here,
    )


def _doubts(stored: StoredAdapter, here: Mapping[str, Any]) -> Iterator[str]:
    """What makes the adapter another one on this host than it was where it was saved."""
    if weights_differ(stored.host, here):
        yield explain(
            f"the adapter in {stored.directory} was made for a host of this architecture with other weights.",
            made_for=stored.host.get("architecture"),
            to_do=f"load {stored.base_model or 'the host'}, which it was trained with",
        )
    if peft_differs(stored.host, here):
        there = stored.host["peft"]
        yield explain(
            f"the adapter in {stored.directory} was trained beside weights of peft that this host does not have.",
            made_with=f"{', '.join(there['kinds'])}: {there['tensors']} tensors",
            given="none" if here["peft"] is None else f"{', '.join(here['peft']['kinds'])} with other weights",
            to_do="load those first: load_adapter(PeftModel.from_pretrained(host, ...), ...)",
        )
    if stored.beside:
        names = ", ".join(stored.beside[:3]) + (" ..." if len(stored.beside) > 3 else "")
        yield explain(
            f"the checkpoint in {stored.directory} holds weights that trained with the adapter and are not its own.",
            not_loaded=f"{len(stored.beside)}: {names}",
            to_do=f"load them into the host as well: model.load_state_dict(safetensors.torch.load_file(... / "
            f"{CHECKPOINT!r}), strict=False), after load_adapter",
        )


def _lora_plan(parts: HostParts, lora: Mapping[str, Any], stored: StoredAdapter) -> LoraPlan:
    try:
        return LanguageModelLora.plan(parts, lora)
    except ConfigError as error:
        path = stored.directory / LORA_CONFIG
        raise CheckpointError(explain(f"{path} cannot be understood.", because=error)) from error


def _require_plugins(stored: StoredAdapter, parts: HostParts) -> None:
    for used in stored.plugins:
        if used["kind"] == "host":
            present = parts.plugin is not None and parts.plugin.name == used["plugin"]
        else:
            try:
                manager.find(used["kind"], used["name"])
                present = True
            except UnknownNameError:
                present = False
        if not present:
            origin = used["distribution"] or used["plugin"]
            raise PluginError(
                explain(
                    f"the adapter in {stored.directory} needs {used['kind']} {used['name']!r}, which is not available.",
                    made_with=f"{origin} {used['version'] or ''}".strip(),
                    to_do=f"pip install {used['distribution']}"
                    if used["distribution"]
                    else f"register the plugin {used['plugin']!r} first (parrot_adapters.plugins.register)",
                )
            )
