"""The key-value cache by either of its names: transformers 5.24 calls ``cache`` what was ``past_key_values``."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["cache_argument", "cache_rows", "given_cache", "made_cache"]

NAMES = ("cache", "past_key_values")


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
        KeyError: it made none.
    """
    return output[next((name for name in NAMES if name in output), NAMES[-1])]


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
