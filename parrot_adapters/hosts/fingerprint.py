"""Recognise the host an adapter was made for, without hashing gigabytes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from parrot_adapters.digests import bytes_digest
from parrot_adapters.hosts.host_parts import HostParts
from parrot_adapters.hosts.lora import NAME
from parrot_adapters.hosts.offloaded_weights import loaded_state, loaded_weight
from parrot_adapters.hosts.peft_layers import PeftLayers
from parrot_adapters.hosts.quantised_weights import full_state, is_quantised
from parrot_adapters.hosts.sampled_places import sampled_places
from parrot_adapters.hosts.sharded_weights import gathered, gathered_all

__all__ = ["fingerprint", "peft_differs", "structure_differences", "weights_differ"]

SAMPLED_ROWS = 64
SAMPLED_VALUES = 16  # of each of the language model's parameters
SAMPLED_ENTRIES = 64  # of each of the projector's matrices
SAME_DIRECTION = 0.9  # four bits leave 0.98 of a random matrix; another random matrix is at 0


def fingerprint(parts: HostParts, projector: Mapping[str, Tensor] | None = None) -> dict[str, Any]:
    """What identifies a host.

    ``model_type``, ``width`` and the projector's shapes must match for an adapter to fit at all. ``vocabulary`` and
    ``weights`` (a hash of the projector and of evenly spaced embedding rows, rounded to bfloat16 so that the same
    host in another precision is the same host) tell one fine-tune from another, and so does ``language_model`` (a hash
    of a few values of each of its parameters; None where they are quantised or not loaded). Where the projector is
    quantised, ``weights`` is None, and ``embeddings`` and ``projector_sample`` stand for it.

    Args:
        parts: the host.
        projector: the host's own projector weights where an adapter's are live.
    """
    module = parts.module(parts.projector)
    weights, approximate = {} if projector is None else dict(projector), set[str]()
    if module is not None and projector is None:
        weights, approximate = full_state(module, loaded_state(module, module.state_dict()))
    if module is not None:
        peft = PeftLayers(module)
        weights, approximate = peft.bare(weights), set(peft.bare(dict.fromkeys(approximate)))
    inputs = parts.base.get_input_embeddings()
    embedding = loaded_weight(inputs, "weight", inputs.weight.detach())
    rows = sampled_places(embedding.shape[0], SAMPLED_ROWS)
    embedded = _bytes(gathered(embedding)[rows.to(embedding.device)])
    weights = gathered_all(weights)
    pieces = [piece for name in sorted(weights) for piece in (name.encode(), _bytes(weights[name]))]
    pieces.append(embedded)
    return {
        "architecture": type(parts.outer).__name__,
        "model_type": parts.model_type,
        "width": parts.width,
        "projector": {name: list(value.shape) for name, value in sorted(weights.items())},
        "vocabulary": embedding.shape[0],
        "weights": None if approximate else bytes_digest(pieces),
        "embeddings": bytes_digest([embedded]),
        "projector_sample": {name: _sample(value) for name, value in sorted(weights.items()) if value.dim() == 2},
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
    """Same architecture, but other weights?

    A quantised host is compared with one that is not, or is quantised otherwise, by what both have: embeddings, which
    are not quantised, bit for bit, and a sample of the projector, which may be, by its direction.
    """
    exact = [key for key in ("weights", "language_model") if saved.get(key) is not None and here[key] is not None]
    if "weights" not in exact:
        exact += [key for key in ("embeddings",) if saved.get(key) is not None]
    return any(saved.get(key) != here[key] for key in ("vocabulary", *exact)) or (
        "weights" not in exact and not _samples_agree(saved.get("projector_sample") or {}, here["projector_sample"])
    )


def _samples_agree(saved: Mapping[str, Any], here: Mapping[str, Any]) -> bool:
    """Whether samples of the same matrices point the same way, as those of one matrix in two precisions do."""
    for name in saved.keys() & here.keys():
        one, other = (torch.tensor(sample[name], dtype=torch.float64) for sample in (saved, here))
        if one.shape != other.shape or torch.cosine_similarity(one, other, dim=0) < SAME_DIRECTION:
            return False
    return True


def _sample(value: Tensor) -> list[float]:
    picked = sampled_places(value.numel(), SAMPLED_ENTRIES).to(value.device)
    return [float(f"{entry:.4g}") for entry in value.detach().flatten()[picked].float().tolist()]


def peft_differs(saved: Mapping[str, Any], here: Mapping[str, Any]) -> bool:
    """Whether peft had put something on the host when the adapter was saved that this host does not have."""
    return saved.get("peft") is not None and saved["peft"] != here["peft"]


def _language_model(parts: HostParts) -> str | None:
    module = parts.module(parts.language_model)
    if module is None:
        return None
    pieces = []
    for name, value in sorted(PeftLayers(module).bare(dict(module.named_parameters())).items()):
        if value.is_meta or not value.is_floating_point() or is_quantised(value):
            return None
        pieces.append(name.encode())
        picked = sampled_places(value.numel(), SAMPLED_VALUES)
        pieces.append(_bytes(gathered(value.detach()).flatten()[picked.to(value.device)]))
    return bytes_digest(pieces)


def _bytes(tensor: Tensor) -> bytes:
    rounded = tensor.detach().to("cpu", torch.bfloat16).flatten().contiguous()  # a count has no dimension
    return rounded.view(torch.uint8).numpy().tobytes() if rounded.numel() else b""
