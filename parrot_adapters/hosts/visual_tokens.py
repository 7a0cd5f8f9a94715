"""Where the visual tokens of a running call are: what a host's layers have to know while it runs.

The call stands in a context variable from the moment the base model is entered until it is left, whatever happens in
between; so two threads, or two hosts, never see each other's. What torch compiles cannot read such a variable: there a
plain attribute says that no call with pictures is running, or which one, and only where several run at once does a
compiled call leave its graph to ask. (One compiled call of text must then be one graph, as the bare host's is.)

Layers whose activations are recomputed in the backward pass run again when the call is over, in whatever thread
autograd uses; :class:`CarriesVisualTokens` takes the call along. Layers that run again without it are refused: their
gradients would be those of a host without experts.

R  rows    S  positions    N  visual tokens of the call    K  hidden units of one layer's experts
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from parrot_adapters.core.ragged import places_of_true
from parrot_adapters.core.recomputation import runs_again
from parrot_adapters.errors import HostError, explain

__all__ = ["CarriesVisualTokens", "RunningCalls", "VisualTokens", "recomputed_with_visual_tokens"]

CHECKPOINT = "_gradient_checkpointing_func"  # of transformers' layers; an attribute of each instance
CHECKPOINT_OF_WRAPPER = "checkpoint_fn"  # of torch's CheckpointWrapper, which is called alike


@dataclass(eq=False)
class VisualTokens:
    """The visual tokens of one call of a host.

    Attributes:
        positions: (N,) int64 into the flattened (R * S) positions.
        units: (N, K) factor of each hidden unit of the layers' experts, with its graph; None until they are routed.
        total: R * S.
    """

    positions: Tensor
    units: Tensor | None
    total: int

    @classmethod
    def at(cls, placeholders: Mapping[str, Tensor], counts: Mapping[str, int]) -> VisualTokens:
        """Those of a call that runs next, not routed yet, without waiting for the device.

        Other numbers of placeholders than these were refused when the outputs were aligned, or are by the host itself.

        Args:
            placeholders: Modality -> (R, S) bool.
            counts: Modality -> visual tokens of its output, in the order of the outputs; at least one.
        """
        found = [places_of_true(placeholders[modality].flatten(), count) for modality, count in counts.items()]
        return cls(torch.cat(found), None, next(iter(placeholders.values())).numel())


@dataclass(frozen=True, eq=False)
class _Call:
    """A base model, or a layer of it, that is running, and its visual tokens; None where it has none."""

    owner: RunningCalls
    tokens: VisualTokens | None


_CALLS: ContextVar[tuple[_Call, ...]] = ContextVar("parrot_calls", default=())


class RunningCalls:
    """The calls of one host that are running, in every context."""

    def __init__(self) -> None:
        self._open: tuple[_Call, ...] = ()
        self._lock = threading.Lock()
        self._learned = False  # whether a call with visual tokens has had a graph

    def enter(self, tokens: VisualTokens | None) -> None:
        """The base model is entered. What a call of this context may have left behind goes.

        Args:
            tokens: None for text only.
        """
        # Nothing to hide, and nothing that a recomputation would have to know: of a decode step this is all.
        if tokens is None and not self._open and (torch.compiler.is_compiling() or not torch.is_grad_enabled()):
            return
        self._drop([call for call in _CALLS.get() if call.owner is self])
        self._learned = self._learned or (tokens is not None and torch.is_grad_enabled())
        self._put(_Call(self, tokens))

    def leave(self) -> None:
        """The base model is left; where it was never entered this does nothing."""
        if not self._open:
            return
        self._drop([call for call in _CALLS.get() if call.owner is self])

    def run(self, tokens: VisualTokens | None, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Run a part of a call that knows its visual tokens, whenever that is."""
        call = _Call(self, tokens)
        self._put(call)
        try:
            return function(*args, **kwargs)
        finally:
            self._drop([call])

    def here(self) -> VisualTokens | None:
        """Those of the innermost call that runs in this context; None where it has none.

        Raises:
            HostError: A layer runs again in the backward pass, and what makes it do so has not taken the call along.
        """
        if not self._open and not self._learned:  # of every layer with experts, at every decode step
            return None
        call = self._innermost()
        if call is None and not torch.compiler.is_compiling() and self._learned and runs_again():
            raise HostError(
                explain(
                    "a layer with experts is computed again in the backward pass by something that this library does "
                    "not know, so which of its tokens are visual is lost; the gradients would be wrong.",
                    to_do="checkpoint activations with model.gradient_checkpointing_enable(), or with "
                    "torch.distributed.algorithms._checkpoint.checkpoint_wrapper",
                )
            )
        return None if call is None else call.tokens

    def entered(self) -> bool:
        """Whether a call runs in this context, with visual tokens or without."""
        return self._innermost() is not None

    def _innermost(self) -> _Call | None:
        if not self._open:
            return None
        if torch.compiler.is_compiling() and len(self._open) < 2:
            return self._open[0]
        return next((call for call in reversed(_CALLS.get()) if call.owner is self), None)

    def _put(self, call: _Call) -> None:
        _CALLS.set((*_CALLS.get(), call))
        with self._lock:
            self._open = (*self._open, call)

    def _drop(self, gone: list[_Call]) -> None:
        if not gone:
            return
        _CALLS.set(tuple(call for call in _CALLS.get() if call not in gone))
        with self._lock:
            self._open = tuple(call for call in self._open if call not in gone)

    def __getstate__(self) -> dict[str, Any]:
        """A copy of a host runs nothing yet."""
        return {}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__()  # type: ignore[misc]


class CarriesVisualTokens:
    """A checkpointing function that runs a layer with the visual tokens of its call, the second time too.

    Their factors are handed on as an argument, so that gradients reach the router through either kind of checkpointing.

    Args:
        original: ``torch.utils.checkpoint.checkpoint``, or what stands for it: ``(function, *args) -> output``.
        calls: Of the host.
    """

    def __init__(self, original: Callable[..., Any], calls: RunningCalls) -> None:
        self.original, self.calls = original, calls

    def __call__(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        # What torch compiles runs again as a graph, which holds the tokens.
        if torch.compiler.is_compiling() or not self.calls.entered():
            return self.original(function, *args, **kwargs)
        tokens = self.calls.here()
        units = None if tokens is None else tokens.units
        return self.original(_Recomputed(function, tokens, self.calls), units, *args, **kwargs)


class _Recomputed:
    """A layer's function that finds the visual tokens of its call whenever it runs."""

    def __init__(self, function: Callable[..., Any], tokens: VisualTokens | None, calls: RunningCalls) -> None:
        self.function, self.tokens, self.calls = function, tokens, calls

    def __call__(self, units: Tensor | None, *args: Any, **kwargs: Any) -> Any:
        known = self.tokens
        tokens = None if known is None else VisualTokens(known.positions, units, known.total)
        return self.calls.run(tokens, self.function, *args, **kwargs)


def recomputed_with_visual_tokens(base: nn.Module, calls: RunningCalls, *, on: bool) -> None:
    """Make the modules that checkpoint their activations take the visual tokens along, or undo that.

    Asked before every training call, because checkpointing may be switched on at any time.

    Args:
        base: Module in which to look for those that checkpoint.
        calls: Of the host.
        on: False gives the checkpointing functions back.
    """
    for module in base.modules():
        name = CHECKPOINT_OF_WRAPPER if "_checkpoint_wrapped_module" in module._modules else CHECKPOINT
        own = module.__dict__.get(name)
        if own is not None:
            module.__dict__[name] = _carrying(own, calls) if on else _not_carrying(own, calls)


def _carrying(function: Callable[..., Any], calls: RunningCalls) -> Callable[..., Any]:
    """A function that takes these calls along, beside others' that it may take along already."""
    below = function
    while isinstance(below, CarriesVisualTokens):
        if below.calls is calls:
            return function
        below = below.original
    return CarriesVisualTokens(function, calls)


def _not_carrying(function: Callable[..., Any], calls: RunningCalls) -> Callable[..., Any]:
    if not isinstance(function, CarriesVisualTokens):
        return function
    if function.calls is calls:
        return function.original
    function.original = _not_carrying(function.original, calls)
    return function
