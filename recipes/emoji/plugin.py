"""The recipe as a plugin of the library: where it is installed, every command can load its hosts.

Named in the entry-point group `parrot_adapters` of pyproject.toml. Importing this costs next to nothing.
"""

from __future__ import annotations

from collections.abc import Callable

from parrot_adapters import hookimpl

__all__ = ["register_model_classes"]


@hookimpl
def register_model_classes(register: Callable[[str, Callable[[], None]], None]) -> None:
    register("parrot_emoji_tower", register_tower)


def register_tower() -> None:
    """Importing the tower's module is what makes its classes known to transformers."""
    from . import vision  # noqa: F401
