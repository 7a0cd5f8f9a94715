"""The recipe as a plugin of the library: where it is installed, every command can load its hosts.

Named in the entry-point groups `parrot_adapters.model_classes` and `parrot_adapters.examples` of pyproject.toml; the
hooks are for whoever registers the module by hand. Importing this costs next to nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from parrot_adapters import Example, hookimpl

__all__ = ["EXAMPLE", "register_examples", "register_model_classes"]


@hookimpl
def register_model_classes(register: Callable[[str, Callable[[], None]], None]) -> None:
    register("parrot_emoji_tower", register_tower)


@hookimpl
def register_examples(register: Callable[[str, Example], None]) -> None:
    register("emoji", EXAMPLE)


def make_example(directory: Path) -> None:
    """What `parrot emoji export --preset quickstart` writes."""
    from .art import drawn_concepts
    from .compute import one_thread, quiet
    from .concepts import select_concepts
    from .dataset import export
    from .presets import preset

    quiet()
    config = preset("quickstart")
    concepts = drawn_concepts(select_concepts(config.categories, config.max_words, config.limit))
    with one_thread():
        export(concepts, directory, grid=config.grid)


EXAMPLE = Example(make_example, key="3", seconds=20)


def register_tower() -> None:
    """Importing the tower's module is what makes its classes known to transformers."""
    from . import vision  # noqa: F401
