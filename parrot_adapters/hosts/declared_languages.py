"""Languages that a caller has declared for the prompts of the calls to come, in its own context."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any

from parrot_adapters.hosts.adapter_switch import AdapterSwitch

__all__ = ["Languages", "declare_languages", "declared_languages", "undeclare_languages"]

Languages = tuple[str | None, ...]

_DECLARED: ContextVar[Mapping[int, Languages] | None] = ContextVar("parrot_languages", default=None)


def declare_languages(switch: AdapterSwitch, languages: Languages) -> Any:
    """Set the languages of the next calls in this context; undo with the returned token.

    Args:
        switch: of the handle, whichever of its adapters is active.
        languages: one for each prompt.
    """
    return _DECLARED.set({**(_DECLARED.get() or {}), id(switch): languages})


def undeclare_languages(token: Any) -> None:
    """Undo :func:`declare_languages`."""
    _DECLARED.reset(token)


def declared_languages(switch: AdapterSwitch) -> Languages | None:
    """What was declared in this context; None where nothing was.

    Args:
        switch: of the handle.
    """
    return (_DECLARED.get() or {}).get(id(switch))
