"""The linear layers of a host's language model that get experts: found by name, or by what they are part of.

Hosts call their layers as they like: ``q_proj``, a fused ``qkv_proj``, ``query_key_value``, ``c_attn``. Names that are
given are taken as they stand. Two words stand for what each host names in its own way: ``attention`` for the
projections of every attention, and ``mlp`` for the feed-forward networks beside them. The default of ``layer_modules``
means the first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from parrot_adapters.core.layer_groups import layer_number
from parrot_adapters.errors import ConfigError, HostError, explain
from parrot_adapters.hosts.host_parts import HostParts

__all__ = [
    "LayerGroup",
    "decoder_layers",
    "find_linear_layers",
    "group_layers",
    "has_mixture",
    "linear_features",
    "meant_names",
]

Layers = str | Sequence[int]
Within = Mapping[tuple[int, str], nn.Module]  # number of a decoder layer, path in it -> linear layer

ATTENTION, MLP = "attention", "mlp"
PARTS_OF = {ATTENTION: ("attn", "attention"), MLP: ("mlp", "feed_forward", "ffn", "fc1", "fc2")}
ROUTERS = ("gate", "router", "shared_expert_gate")  # of mixtures of experts: "mlp" does not mean them
MIXTURE = "experts"  # what such mixtures call the module that holds them
CONV1D = "Conv1D"  # transformers' own, of GPT-2: a linear layer whose weight is stored the other way round


@dataclass(frozen=True)
class LayerGroup:
    """Linear layers of one name and size.

    Attributes:
        name: Their path in a decoder layer, ``"self_attn.q_proj"``.
        in_features: Width of their input.
        out_features: Width of their output.
        layers: Numbers of the decoder layers that they stand in.
        paths: Their paths in the language model.
    """

    name: str
    in_features: int
    out_features: int
    layers: tuple[int, ...]
    paths: tuple[str, ...]


def decoder_layers(parts: HostParts) -> tuple[str, nn.ModuleList]:
    """The decoder layers of a host's language model, and their path in it.

    Raises:
        HostError: No language model, or none that is a list of layers; or the host merges images into the prompt by
            itself, and does not say where.
    """
    if parts.spec.encoder_calls:
        raise HostError(
            explain(
                "experts inside the layers have to know where visual tokens are in the prompt; "
                f"{type(parts.outer).__name__} merges them by itself and does not say.",
                given=f"model_type {parts.model_type!r}",
                to_do='use AdapterConfig(placement="projector"), the default',
            )
        )
    language_model = parts.module(parts.language_model)
    if language_model is None:
        raise HostError(
            explain(
                f"no language model found in {type(parts.outer).__name__}, so its layers cannot get experts.",
                looked_for=", ".join(parts.spec.language_model),
                to_do='name it: AdapterConfig(host_options={"language_model": ["path.of.it"]})',
            )
        )
    wanted = getattr(parts.config.get_text_config(), "num_hidden_layers", None)
    lists = [(path, m) for path, m in language_model.named_modules() if isinstance(m, nn.ModuleList)]
    found = [(path, m) for path, m in lists if len(m) == wanted and any(_linear_layers(m))]
    if not found:
        raise HostError(
            explain(
                f"{type(language_model).__name__} is no list of layers whose linear layers could get experts.",
                looked_for=f"a ModuleList of {wanted} layers with linear layers in them",
                found="; ".join(f"{path} of {len(m)}" for path, m in lists) or "no ModuleList",
                to_do="use AdapterConfig(placement='projector')",
            )
        )
    return found[0]


def find_linear_layers(parts: HostParts, names: Sequence[str], layers: Layers) -> dict[str, nn.Module]:
    """The linear layers of the chosen names in the chosen decoder layers, by path in the language model.

    Args:
        parts: The host.
        names: Last names of linear layers (``"q_proj"``), ends of their paths (``"self_attn.q_proj"``), or the words
            of :func:`meant_names`.
        layers: ``"all"``, or numbers of decoder layers.

    Raises:
        ConfigError: A name or a number that does not exist; the message lists those that do.
        HostError: The host has no layers that could be chosen from.
    """
    prefix, there = _chosen(parts, layers)
    names = _meant(there, parts, names)
    found = {(n, path): module for (n, path), module in there.items() if any(_ends(path, name) for name in names)}
    if absent := [name for name in names if not any(_ends(path, name) for _, path in found)]:
        raise _absent(absent, there, parts, names, layers)
    return {f"{prefix}.{n}.{path}": module for (n, path), module in found.items()}


def meant_names(parts: HostParts, names: Sequence[str], layers: Layers, *, by_default: bool = False) -> list[str]:
    """Names of linear layers that say on this host what the given ones mean, words replaced by ends of paths.

    ``attention`` means the projections that the host's declaration names, and in layers that do not have all of them
    every linear layer of the attention. ``mlp`` means the linear layers of feed-forward networks.

    Args:
        parts: The host.
        names: As ``AdapterConfig.layer_modules`` has them.
        layers: As ``AdapterConfig.layers`` has them.
        by_default: Whether nobody chose the names: the attention is meant, and they stay where this host's projections
            have those very names.

    Raises:
        ConfigError: A word that fits nothing here, or a number of a layer that does not exist.
        HostError: The host has no layers that could be chosen from.
    """
    _, there = _chosen(parts, layers)
    if by_default:
        called = {path for _, path in there if any(_ends(path, name) for name in names)}
        attention = _attention(there, parts)
        return list(names) if not attention or set(attention) == called else attention
    meant = _meant(there, parts, names)
    if absent := [name for name in meant if name in PARTS_OF]:
        raise _absent(absent, there, parts, names, layers)
    return meant


def group_layers(features: Mapping[str, tuple[int, int]]) -> list[LayerGroup]:
    """Linear layers by name and size, in the order of their first one.

    Args:
        features: Path in the language model -> (in_features, out_features).
    """
    found: dict[tuple[str, int, int], LayerGroup] = {}
    for path, sizes in features.items():
        number, name = layer_number(path)
        group = found.get((name, *sizes), LayerGroup(name, *sizes, (), ()))
        found[name, *sizes] = replace(group, layers=(*group.layers, number), paths=(*group.paths, path))
    return list(found.values())


def has_mixture(layer: nn.Module) -> bool:
    """Whether a decoder layer has a mixture of experts of the host's own, which gets none of the adapter's."""
    return any(MIXTURE in path.split(".") for path, _ in layer.named_modules())


def linear_features(linear: Any) -> tuple[int, int]:
    """(in_features, out_features) of a linear layer."""
    if type(linear).__name__ == CONV1D:
        return int(linear.nx), int(linear.nf)
    return int(linear.in_features), int(linear.out_features)


# --- what names mean --------------------------------------------------------------------------------------------------


def _meant(there: Within, parts: HostParts, names: Sequence[str]) -> list[str]:
    """A word that fits nothing stays."""
    words = {ATTENTION: _attention, MLP: _mlp}
    ends = {word: words[word](there, parts) for word in names if word in words}
    return list(dict.fromkeys(end for name in names for end in ends.get(name) or [name]))


def _attention(there: Within, parts: HostParts) -> list[str]:
    declared, meant = parts.spec.attention, []
    for number in dict.fromkeys(n for n, _ in there):
        inside = [path for n, path in there if n == number and _is_part(path, ATTENTION)]
        named = [path for path in inside if any(_ends(path, name) for name in declared)]
        whole = all(any(_ends(path, name) for path in named) for name in declared)
        meant += named if whole else inside
    return list(dict.fromkeys(meant))


def _mlp(there: Within, parts: HostParts) -> list[str]:
    return list(dict.fromkeys(p for _, p in there if _is_part(p, MLP) and not _is_part(p, ATTENTION)))


def _is_part(path: str, word: str) -> bool:
    *parents, last = path.lower().split(".")
    if any(part in ROUTERS for part in (*parents, last)):
        return False
    return any(sign in part for part in parents for sign in PARTS_OF[word]) or last in PARTS_OF[word]


def _absent(
    absent: Sequence[str], there: Within, parts: HostParts, names: Sequence[str], layers: Layers
) -> ConfigError:
    features = {f"{n}.{path}": linear_features(module) for (n, path), module in there.items()}
    groups = group_layers(features)
    return ConfigError(
        explain(
            f"{', '.join(absent)} is no linear layer in the language model of {type(parts.outer).__name__}.",
            given=f"layer_modules={list(names)}, layers={layers!r}",
            known="; ".join(f"{g.name} ({len(g.paths)} of {g.in_features} -> {g.out_features})" for g in groups),
            to_do="name those that exist: AdapterConfig(layer_modules=[...]), or 'attention' and 'mlp' for what this "
            "host has of them; experts of a mixture-of-experts language model are no linear layers of their own, or "
            "see some tokens only, and cannot be chosen",
        )
    )


# --- what is there ----------------------------------------------------------------------------------------------------


def _chosen(parts: HostParts, layers: Layers) -> tuple[str, Within]:
    """Path of the list of decoder layers, and the linear layers in the chosen ones."""
    prefix, stack = decoder_layers(parts)
    chosen = range(len(stack)) if isinstance(layers, str) else layers
    if beyond := [n for n in chosen if not 0 <= n < len(stack)]:
        raise ConfigError(
            explain(
                f"layers={list(chosen)} names {', '.join(map(str, beyond))}, which the language model does not have.",
                known=f"0 to {len(stack) - 1}",
            )
        )
    return prefix, {(n, path): m for n in sorted(set(chosen)) for path, m in _linear_layers(stack[n])}


def _linear_layers(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Path and module of everything linear that sees all tokens: torch's own, quantised ones, and what peft wraps."""
    inside = [f"{path}." for path, m in module.named_modules() if _is_peft(m)]
    for path, found in module.named_modules():
        if any(path.startswith(prefix) for prefix in inside):
            continue  # peft's own A and B, and the base layer, which comes under the name it had
        base = found.get_base_layer() if _is_peft(found) else found
        if _is_linear(base) and MIXTURE not in path.split("."):
            yield path, base


def _is_peft(module: nn.Module) -> bool:
    return callable(getattr(module, "get_base_layer", None))


def _is_linear(module: Any) -> bool:
    """Quantised layers of some libraries are no ``nn.Linear`` but say what they map."""
    if type(module).__name__ == CONV1D:
        return isinstance(getattr(module, "nx", None), int) and isinstance(getattr(module, "nf", None), int)
    sizes = (getattr(module, "in_features", None), getattr(module, "out_features", None))
    return all(isinstance(size, int) for size in sizes)


def _ends(path: str, name: str) -> bool:
    return f".{path}".endswith(f".{name}")
