"""Experts on linear layers of a host's language model: adding to what the layers answer.

A layer is not replaced. A forward hook adds the experts' part at visual positions, so the very modules stay in place,
under their own names, quantised or not.

What stands in a layer's place may change while an adapter is attached: peft puts a wrapper there and takes it away
again, a library that quantises puts a layer of its own. The hook is on whatever stands there. Inside a wrapper it would
be told another input (OFT), its part would be scaled (DoRA, IA3), or nobody would call it (HRA).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from parrot_adapters.core import LayerExperts
from parrot_adapters.core.visual_low_rank import add_at
from parrot_adapters.errors import HostError, explain
from parrot_adapters.hosts.host_parts import HostParts
from parrot_adapters.hosts.visual_tokens import RunningCalls, VisualTokens, recomputed_with_visual_tokens

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
        paths: The layers' in the language model, as ``find_linear_layers`` gives them.
    """

    def __init__(self, parts: HostParts, experts: LayerExperts, paths: Iterable[str]) -> None:
        self.experts, self.paths, self._base = experts, tuple(paths), parts.base
        self.calls = RunningCalls()
        root = parts.base.get_submodule(parts.language_model or "")
        ends = {path: path.rpartition(".") for path in self.paths}
        self._places = {path: (root.get_submodule(parent), name) for path, (parent, _, name) in ends.items()}
        self._hooks: dict[str, tuple[nn.Module, Any]] = {}  # what is hooked, and the handle of the hook

    def install(self) -> None:
        """Put the hooks on the layers."""
        self.follow()

    def remove(self) -> None:
        """Take every trace off the host, however far :meth:`install` came."""
        for _, handle in self._hooks.values():
            handle.remove()
        self._hooks = {}
        recomputed_with_visual_tokens(self._base, self.calls, on=False)

    def enter(self, tokens: VisualTokens | None) -> None:
        """The host's layers run next.

        Args:
            tokens: The visual tokens of the call; None where it has none.
        """
        if tokens is not None and not torch.compiler.is_compiling():
            self.follow()
        self.calls.enter(tokens)

    def follow(self) -> None:
        """Put a hook on what stands in each layer's place by now, and take it off what stood there before."""
        for path, (parent, name) in self._places.items():
            here = parent._modules[name]
            hooked, handle = self._hooks.get(path, (None, None))
            if here is hooked or here is None:
                continue
            if handle is not None:
                handle.remove()
            made = _AddExperts(path, self.experts.call(path), self.calls)
            self._hooks[path] = here, here.register_forward_hook(made)

    def prepare_recomputation(self) -> None:
        """What checkpoints its activations will know the visual tokens of the call that comes."""
        recomputed_with_visual_tokens(self._base, self.calls, on=True)
