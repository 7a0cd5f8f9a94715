"""The errors this recipe raises on purpose."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from types import ModuleType

from parrot_adapters import ParrotError
from parrot_adapters.errors import UnknownNameError, explain, suggest

__all__ = ["MissingPackageError", "RecipeError", "UnknownChoiceError", "require", "unknown"]

INSTALL_HINT = "pip install 'parrot_adapters[quickstart]'"


class RecipeError(ParrotError):
    """Something the quickstart was asked to do cannot be done."""


class UnknownChoiceError(RecipeError, UnknownNameError):
    """An arm, preset, router or language was asked for by a name that nothing has."""


class MissingPackageError(RecipeError):
    """A package that brings pictures, names or weights is not installed."""


def require(module: str, purpose: str) -> ModuleType:
    """Import ``module``, or say which package is missing, what it is for and how to get it."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise MissingPackageError(
            f"the emoji quickstart needs the package '{error.name}' ({purpose}), which is not installed.\n"
            f"  Install everything it uses with:  {INSTALL_HINT}"
        ) from error


def unknown(kind: str, name: str, known: Iterable[str]) -> str:
    """What to say of a name that nothing has."""
    names = list(known)
    return explain(f"no {kind} named {name!r}.{suggest(name, names)}", known=", ".join(names))
