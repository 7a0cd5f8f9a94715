"""One cache directory, written atomically: an interrupted build leaves nothing behind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from parrot_adapters.atomic_files import appearing_file
from parrot_adapters.digests import short_digest
from parrot_adapters.examples import cache_directory

__all__ = ["cache_directory", "cached_file"]


def cached_file(name: str, key: object, build: Callable[[Path], None]) -> Path:
    """The file ``name`` built for ``key`` (anything JSON can hold); built at most once, visible only when whole."""
    named = Path(name)
    path = cache_directory() / "emoji" / f"{named.stem}-{short_digest(key, 16)}{named.suffix}"
    if not path.exists():
        with appearing_file(path) as beside:
            build(beside)
    return path
