"""Recognise the host an adapter was made for, without hashing gigabytes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from parrot_adapters.hosts.host_parts import HostParts
from parrot_adapters.hosts.lora import NAME
from parrot_adapters.hosts.peft_layers import PeftLayers
from parrot_adapters.hosts.sampled_places import sampled_places

__all__ = ["fingerprint", "peft_differs", "structure_differences", "weights_differ"]

SAMPLED_ROWS = 64
SAMPLED_VALUES = 16  # of each of the language model's parameters


def fingerprint(parts: HostParts, projector: Mapping[str, Tensor] | None = None) -> dict[str, Any]:
    """What identifies a host.

    ``model_type``, ``width`` and the projector's shapes must match for an adapter to fit at all. ``vocabulary`` and
    ``weights`` (a hash of the projector and of evenly spaced embedding rows, rounded to bfloat16 so that the same
    host in another precision is the same host) tell one fine-tune from another, and so does ``language_model`` (a hash
    of a few values of each of its parameters; None where they are quantised or not loaded).

    Args:
        parts: the host.
        projector: the host's own projector weights where an adapter's are live.
    """
    module = parts.module(parts.projector)
    weights = dict(projector) if projector is not None else ({} if module is None else module.state_dict())
    weights = {} if module is None else PeftLayers(module).bare(weights)
    embedding = parts.base.get_input_embeddings().weight.detach()
    rows = sampled_places(embedding.shape[0], SAMPLED_ROWS)
    digest = hashlib.sha256()
    for name in sorted(weights):
        digest.update(name.encode())
        digest.update(_bytes(weights[name]))
    digest.update(_bytes(embedding[rows.to(embedding.device)]))
    return {
        "architecture": type(parts.outer).__name__,
        "model_type": parts.model_type,
        "width": parts.width,
        "projector": {name: list(value.shape) for name, value in sorted(weights.items())},
        "vocabulary": embedding.shape[0],
        "weights": digest.hexdigest(),
        "language_model": _language_model(parts),
        "peft": PeftLayers(parts.outer, without=NAME).description(),
    }


def structure_differences(saved: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    """What makes an adapter unfit for this host; empty when it fits. A model with and without head is one host."""
    return [
        f"{key}: the adapter was made for {saved.get(key)!r}, this host has {here[key]!r}"
        for key in ("model_type", "width", "projector")
        if saved.get(key) != here[key]
    ]


def weights_differ(saved: Mapping[str, Any], here: Mapping[str, Any]) -> bool:
    """Same architecture, but other weights?"""
    known = [key for key in ("language_model",) if saved.get(key) is not None and here[key] is not None]
    return any(saved.get(key) != here[key] for key in ("vocabulary", "weights", *known))


def peft_differs(saved: Mapping[str, Any], here: Mapping[str, Any]) -> bool:
    """Whether peft had put something on the host when the adapter was saved that this host does not have."""
    return saved.get("peft") is not None and saved["peft"] != here["peft"]


def _language_model(parts: HostParts) -> str | None:
    module = parts.module(parts.language_model)
    if module is None:
        return None
    digest = hashlib.sha256()
    for name, value in sorted(PeftLayers(module).bare(dict(module.named_parameters())).items()):
        if value.is_meta or not value.is_floating_point():
            return None
        digest.update(name.encode())
        picked = sampled_places(value.numel(), SAMPLED_VALUES)
        digest.update(_bytes(value.detach().flatten()[picked.to(value.device)]))
    return digest.hexdigest()


def _bytes(tensor: Tensor) -> bytes:
    rounded = tensor.detach().to("cpu", torch.bfloat16).contiguous()
    return rounded.view(torch.uint8).numpy().tobytes() if rounded.numel() else b""
