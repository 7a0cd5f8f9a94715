"""One cache directory, written atomically: an interrupted build leaves nothing behind."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from parrot_adapters.examples import cache_directory

__all__ = ["cache_directory", "cached_file"]


def cached_file(name: str, key: object, build: Callable[[Path], None]) -> Path:
    """The file ``name`` built for ``key`` (anything JSON can hold); built at most once, visible only when whole."""
    digest = hashlib.sha256(json.dumps(key, sort_keys=True, default=str).encode()).hexdigest()[:16]
    stem, suffix = os.path.splitext(name)
    path = cache_directory() / "emoji" / f"{stem}-{digest}{suffix}"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(dir=path.parent))
        try:
            build(scratch / path.name)
            os.replace(scratch / path.name, path)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    return path
