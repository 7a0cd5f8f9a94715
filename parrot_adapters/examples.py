"""Small hosts and data sets that plugins make on demand: a path ``example:NAME/FILE`` leads into one.

Made once, kept in the user's cache, visible only when whole. So a configuration can be run from a fresh installation
with nothing downloaded:

    host: {path: "example:emoji/host"}
    data: {sources: [{path: "example:emoji/llava_stage2.json"}]}
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from parrot_adapters.atomic_files import appearing_directory
from parrot_adapters.digests import text_digest
from parrot_adapters.errors import ConfigError, ParrotError, PluginError, explain, suggest

__all__ = ["Example", "cache_directory", "example_path"]

PREFIX = "example:"


@dataclass(frozen=True)
class Example:
    """An example that a plugin can make: a small model, or data, for trying things out.

    Attributes:
        make: Function that fills an empty directory, given as a ``Path``.
        key: Name of the recipe; when it changes, the example is made again (default empty).
        seconds: Number of seconds that making it takes, about (default 10).
    """

    make: Callable[[Path], object]
    key: str = ""
    seconds: int = 10


def cache_directory() -> Path:
    """``$PARROT_CACHE``, else ``$XDG_CACHE_HOME/parrot_adapters``, else ``~/.cache/parrot_adapters``."""
    if chosen := os.environ.get("PARROT_CACHE"):
        return Path(chosen).expanduser()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "parrot_adapters"


def example_path(path: str | os.PathLike[str]) -> Path | None:
    """Find the file of an example, which is made if need be; None where the path names no example.

    Args:
        path: Path, or ``example:NAME/FILE``.

    Raises:
        UnknownNameError: No plugin offers an example of that name.
        ConfigError: The example has no such file.
        PluginError: It could not be made.
    """
    text = os.fspath(path)
    if not text.startswith(PREFIX):
        return None
    name, _, file = text.removeprefix(PREFIX).partition("/")
    folder = _made(name)
    found = folder / file
    if not found.exists():
        present = sorted(p.name for p in folder.iterdir())
        raise ConfigError(
            explain(f"the example {name!r} has no {file!r}.{suggest(file, present)}", it_has=", ".join(present))
        )
    return found


def _made(name: str) -> Path:
    from parrot_adapters.plugins import manager

    component = manager.find("example", name, asked_by=f"{PREFIX}{name}")
    example = component.factory
    if not isinstance(example, Example):
        raise PluginError(f"example {name!r} of {component.plugin} must be a parrot_adapters.Example")
    digest = text_digest(f"{component.plugin.version} {example.key}")[:12]
    folder = cache_directory() / "examples" / f"{name}-{digest}"
    if folder.is_dir():
        return folder
    print(f"making the example {name!r}, once, about {example.seconds} s: {folder}", file=sys.stderr, flush=True)
    try:
        with appearing_directory(folder, existing="keep") as new:  # another process may make the same
            example.make(new)
    except ParrotError:
        raise
    except Exception as error:  # a plugin's code: whatever went wrong is its fault, and its name belongs to it
        raise PluginError(
            explain(f"the example {name!r} of {component.plugin} could not be made.", because=error, in_=folder.parent)
        ) from error
    return folder
