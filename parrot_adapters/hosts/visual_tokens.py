"""Where the visual tokens of a running call are: what a host's layers have to know while it runs.

The call stands in a context variable from the moment the base model is entered until it is left, whatever happens in
between; so two threads, or two hosts, never see each other's. Layers whose activations are recomputed in the backward
pass run again when the call is over, in whatever thread autograd uses;
:class:`CarriesVisualTokens` takes the call along.

R  rows    S  positions    N  visual tokens of the call    K  hidden units of one layer's experts
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn

__all__ = [
    "CarriesVisualTokens",
    "VisualTokens",
    "enter_call",
    "leave_call",
    "recomputed_with_visual_tokens",
    "visual_tokens",
]

CHECKPOINT = "_gradient_checkpointing_func"  # of transformers' layers; an attribute of each instance


@dataclass(frozen=True, eq=False)
class VisualTokens:
    """The visual tokens of one call of a host.

    Attributes:
        positions: (N,) int64 into the flattened (R * S) positions.
        units: (N, K) factor of each hidden unit of the layers' experts, with its graph.
        total: R * S.
    """

    positions: Tensor
    units: Tensor
    total: int


@dataclass(frozen=True, eq=False)
class _Call:
    """A base model that is running, and its visual tokens; None where it has none."""

    owner: object
    tokens: VisualTokens | None


_CALLS: ContextVar[tuple[_Call, ...]] = ContextVar("parrot_calls", default=())


def visual_tokens() -> VisualTokens | None:
    """Those of the innermost call that runs in this context; None where there is none, or it has none."""
    calls = _CALLS.get()
    return calls[-1].tokens if calls else None


def enter_call(owner: object, tokens: VisualTokens | None) -> None:
    """A base model is entered. What a call of the same owner may have left behind goes.

    Args:
        owner: Whose call; :func:`leave_call` names it again.
        tokens: None for text only.
    """
    calls = _CALLS.get()
    if tokens is not None or calls:
        _CALLS.set((*(call for call in calls if call.owner is not owner), _Call(owner, tokens)))


def leave_call(owner: object) -> None:
    """A base model is left; where it was never entered this does nothing."""
    calls = _CALLS.get()
    if any(call.owner is owner for call in calls):
        _CALLS.set(tuple(call for call in calls if call.owner is not owner))


class CarriesVisualTokens:
    """A checkpointing function that runs a layer with the visual tokens of its call, the second time too.

    Their factors are handed on as an argument, so that gradients reach the router through either kind of checkpointing.

    Args:
        original: ``torch.utils.checkpoint.checkpoint``, or what stands for it: ``(function, *args) -> output``.
    """

    def __init__(self, original: Callable[..., Any]) -> None:
        self.original = original

    def __call__(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        tokens = visual_tokens()
        if tokens is None:
            return self.original(function, *args, **kwargs)
        return self.original(_Recomputed(function, tokens), tokens.units, *args, **kwargs)


class _Recomputed:
    """A layer's function that finds the visual tokens of its call whenever it runs."""

    def __init__(self, function: Callable[..., Any], tokens: VisualTokens) -> None:
        self.function, self.tokens = function, tokens

    def __call__(self, units: Tensor, *args: Any, **kwargs: Any) -> Any:
        enter_call(self, replace(self.tokens, units=units))
        try:
            return self.function(*args, **kwargs)
        finally:
            leave_call(self)


def recomputed_with_visual_tokens(modules: list[nn.Module], *, on: bool) -> None:
    """Make the layers that checkpoint their activations take the visual tokens along, or undo that.

    Asked before every training call, because checkpointing may be switched on at any time.

    Args:
        modules: Those that may checkpoint.
        on: False gives the checkpointing functions back.
    """
    for module in modules:
        own = module.__dict__.get(CHECKPOINT)
        if on and own is not None and not isinstance(own, CarriesVisualTokens):
            module.__dict__[CHECKPOINT] = CarriesVisualTokens(own)
        elif not on and isinstance(own, CarriesVisualTokens):
            module.__dict__[CHECKPOINT] = own.original
