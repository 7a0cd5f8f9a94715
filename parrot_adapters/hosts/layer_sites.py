"""The linear layers of a host's language model that get experts: finding them by name, and adding to what they answer.

A layer is not replaced. A forward hook adds the experts' part at visual positions, so the very modules stay in place,
under their own names, quantised or not; LoRA of peft may be put around them before or after.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from parrot_adapters.core import LayerExpert, LayerExperts
from parrot_adapters.errors import ConfigError, HostError, explain
from parrot_adapters.hosts.host_parts import HostParts
from parrot_adapters.hosts.visual_tokens import RunningCalls, recomputed_with_visual_tokens

__all__ = ["LayerSites", "decoder_layers", "find_linear_layers", "linear_features"]


def decoder_layers(parts: HostParts) -> tuple[str, nn.ModuleList]:
    """The decoder layers of a host's language model, and their path in it.

    Raises:
        HostError: No language model, or none that is a list of layers.
    """
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


def find_linear_layers(parts: HostParts, names: Sequence[str], layers: str | Sequence[int]) -> dict[str, nn.Module]:
    """The linear layers of the chosen names in the chosen decoder layers, by path in the language model.

    Args:
        parts: The host.
        names: Last names of linear layers (``"q_proj"``), or ends of their paths (``"self_attn.q_proj"``).
        layers: ``"all"``, or numbers of decoder layers.

    Raises:
        ConfigError: A name or a number that does not exist; the message lists those that do.
        HostError: The host has no layers that could be chosen from.
    """
    prefix, stack = decoder_layers(parts)
    chosen = range(len(stack)) if isinstance(layers, str) else layers
    if beyond := [n for n in chosen if not 0 <= n < len(stack)]:
        raise ConfigError(
            explain(
                f"layers={list(chosen)} names {', '.join(map(str, beyond))}, which the language model does not have.",
                known=f"0 to {len(stack) - 1}",
            )
        )
    there = {f"{prefix}.{n}.{path}": module for n in sorted(chosen) for path, module in _linear_layers(stack[n])}
    found = {path: m for path, m in there.items() if any(_is_called(path, name) for name in names)}
    absent = [name for name in names if not any(_is_called(path, name) for path in found)]
    if absent:
        known = sorted({path.rpartition(".")[2] for path in there})
        raise ConfigError(
            explain(
                f"{', '.join(absent)} is no linear layer in the language model of {type(parts.outer).__name__}.",
                given=f"layer_modules={list(names)}, layers={layers!r}",
                known=", ".join(known),
                to_do="name those that exist: AdapterConfig(layer_modules=[...]); experts of a mixture-of-experts "
                "language model are no linear layers of their own and cannot be chosen",
            )
        )
    return found


def linear_features(linear: Any) -> tuple[int, int]:
    """(in_features, out_features) of a linear layer."""
    return int(linear.in_features), int(linear.out_features)


def _is_called(path: str, name: str) -> bool:
    return path.endswith(f".{name}")


def _linear_layers(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Path and module of everything linear: torch's own, quantised ones, and what lies inside a layer of peft."""
    inside = [f"{path}." for path, m in module.named_modules() if _is_peft(m)]
    for path, found in module.named_modules():
        if any(path.startswith(prefix) for prefix in inside):
            continue  # peft's own A and B, and the base layer, which comes under the name it had
        base = found.get_base_layer() if _is_peft(found) else found
        if _is_linear(base):
            yield path, base


def _is_peft(module: nn.Module) -> bool:
    return callable(getattr(module, "get_base_layer", None))


def _is_linear(module: nn.Module) -> bool:
    """Quantised layers of some libraries are no ``nn.Linear`` but say what they map."""
    sizes = (getattr(module, "in_features", None), getattr(module, "out_features", None))
    return all(isinstance(size, int) for size in sizes)


@dataclass(eq=False)
class _AddExperts:
    """The hook of one linear layer. An object of its own, so that copies and pickles of a host have theirs.

    Attributes:
        path: The layer's, for messages.
        experts: Its experts.
        calls: The host's, which know the visual tokens.
    """

    path: str
    experts: LayerExpert
    calls: RunningCalls

    def __call__(self, module: nn.Module, args: tuple[Any, ...], output: Tensor) -> Tensor | None:
        tokens = self.calls.here()
        if tokens is None or tokens.units is None:
            return None  # text only, or a decode step
        given: Tensor = args[0]
        if given.shape[:-1].numel() != tokens.total:
            raise HostError(
                explain(
                    f"{self.path} was called with {given.shape[:-1].numel()} positions, the prompt has {tokens.total}.",
                    given=f"input of shape {tuple(given.shape)}",
                    to_do="leave this layer out (AdapterConfig(layer_modules=..., layers=...)): the host runs it on "
                    "other positions than its text's",
                )
            )
        positions = tokens.positions.to(given.device)
        added = self.experts(given.flatten(0, -2).index_select(0, positions), tokens.units.to(given.device))
        return output.flatten(0, -2).index_add(0, positions, added.to(output.dtype)).view_as(output)


class LayerSites:
    """Experts on the linear layers of a host.

    Args:
        parts: The host.
        experts: Made for exactly these layers.
        linear: Path in the language model -> layer, as :func:`find_linear_layers` gives them.
    """

    def __init__(self, parts: HostParts, experts: LayerExperts, linear: Mapping[str, nn.Module]) -> None:
        self.experts, self._linear, self._base = experts, dict(linear), parts.base
        self.calls = RunningCalls()
        self._hooks: list[Any] = []

    def install(self) -> None:
        """Put the hooks on the layers."""
        for path, module in self._linear.items():
            self._hooks.append(module.register_forward_hook(_AddExperts(path, self.experts.at(path), self.calls)))

    def remove(self) -> None:
        """Take every trace off the host, however far :meth:`install` came."""
        for hook in self._hooks:
            hook.remove()
        self._hooks = []
        recomputed_with_visual_tokens(self._base, self.calls, on=False)

    def prepare_recomputation(self) -> None:
        """What checkpoints its activations will know the visual tokens of the call that comes."""
        recomputed_with_visual_tokens(self._base, self.calls, on=True)
