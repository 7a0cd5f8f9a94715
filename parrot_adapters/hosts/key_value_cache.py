"""The key-value cache by either of its names: transformers 5.24 calls ``cache`` what was ``past_key_values``."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from parrot_adapters.errors import HostError

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["NoCacheError", "cache_argument", "cache_rows", "given_cache", "made_cache"]

NAMES = ("cache", "past_key_values")


class NoCacheError(HostError):
    """A host's forward gives back no key-value cache, whatever it is asked for."""


def cache_argument(forward: Callable[..., Any]) -> str:
    """The name by which a model's forward takes a cache."""
    known = inspect.signature(forward).parameters
    return next((name for name in NAMES if name in known), NAMES[-1])


def given_cache(arguments: Mapping[str, Any]) -> Any:
    """The cache among a model's keyword arguments, or None."""
    return next((arguments[name] for name in NAMES if arguments.get(name) is not None), None)


def made_cache(output: Mapping[str, Any]) -> Any:
    """The cache in a model's output.

    Raises:
        NoCacheError: it made none.
    """
    if (found := given_cache(output)) is None:
        raise NoCacheError("its forward gives back no key-value cache")
    return found


def cache_rows(cache: Any, rows: Tensor) -> Any:
    """A copy of some rows of a key-value cache; the original is not touched.

    Args:
        cache: Of R rows.
        rows: (P,) int64, which of them, in any order and any number of times.
    """
    taken = copy.copy(cache)
    taken.layers = [copy.copy(layer) for layer in cache.layers]
    taken.batch_select_indices(rows)
    return taken
