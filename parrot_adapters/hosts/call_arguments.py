"""Arguments of a host's calls: by name, and one of ours that the outer model hands on to its base model."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from torch import nn

from parrot_adapters.errors import HostError, explain

__all__ = ["LABELS", "named_arguments", "require_further_arguments"]

# The argument in which the outer model's call hands its labels to the base model's: they travel with the call itself,
# so that the call after one that failed, another host and another thread never see them.
LABELS = "parrot_labels"


def named_arguments(module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a module's call, all by name.

    Args:
        module: Whose forward was called.
        args: Its arguments.
        kwargs: Those given by name.
    """
    names = inspect.signature(type(module).forward).parameters if args else ()
    return {**dict(zip(list(names)[1:], args, strict=False)), **kwargs}


def require_further_arguments(outer: nn.Module) -> None:
    """Refuse a host whose forward takes no argument of ours.

    Args:
        outer: The model.

    Raises:
        HostError: It is one.
    """
    if not any(p.kind is p.VAR_KEYWORD for p in inspect.signature(type(outer).forward).parameters.values()):
        raise HostError(
            explain(
                f"{type(outer).__name__}.forward takes no further keyword arguments (**kwargs), so labels cannot be "
                "passed on to the base model, where the adapter reads the prompt.",
                to_do="attach to the base model, or let forward take **kwargs and hand them to the base model",
            )
        )
