"""Experts on linear layers of a host's language model: adding to what the layers answer.

A layer is not replaced. A forward hook adds the experts' part at visual positions, so the very modules stay in place,
under their own names, quantised or not; LoRA of peft may be put around them before or after.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from parrot_adapters.core import LayerExperts
from parrot_adapters.core.visual_low_rank import add_at
from parrot_adapters.errors import HostError, explain
from parrot_adapters.hosts.host_parts import HostParts
from parrot_adapters.hosts.visual_tokens import RunningCalls, recomputed_with_visual_tokens

__all__ = ["LayerSites"]


@dataclass(eq=False)
class _AddExperts:
    """The hook of one linear layer. An object of its own, so that copies and pickles of a host have theirs.

    Attributes:
        path: The layer's, for messages.
        experts: What its experts add at visual tokens.
        calls: The host's, which know the visual tokens.
    """

    path: str
    experts: Callable[..., Tensor]
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
        added = self.experts(given.flatten(0, -2), tokens.units.to(given.device), positions)
        return add_at(output.flatten(0, -2), positions, added.to(output.dtype)).view_as(output)


class LayerSites:
    """Experts on the linear layers of a host.

    Args:
        parts: The host.
        experts: Made for exactly these layers.
        linear: Path in the language model -> layer, as ``find_linear_layers`` gives them.
    """

    def __init__(self, parts: HostParts, experts: LayerExperts, linear: Mapping[str, nn.Module]) -> None:
        self.experts, self.linear, self._base = experts, dict(linear), parts.base
        self.calls = RunningCalls()
        self._hooks: list[Any] = []

    def install(self) -> None:
        """Put the hooks on the layers."""
        for path, module in self.linear.items():
            self._hooks.append(module.register_forward_hook(_AddExperts(path, self.experts.call(path), self.calls)))

    def remove(self) -> None:
        """Take every trace off the host, however far :meth:`install` came."""
        for hook in self._hooks:
            hook.remove()
        self._hooks = []
        recomputed_with_visual_tokens(self._base, self.calls, on=False)

    def prepare_recomputation(self) -> None:
        """What checkpoints its activations will know the visual tokens of the call that comes."""
        recomputed_with_visual_tokens(self._base, self.calls, on=True)
