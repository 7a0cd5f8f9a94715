"""Digests: short names for contents. All are hexadecimal SHA-256, of the content and nothing else."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

__all__ = ["file_digest", "json_digest", "short_digest", "text_digest"]


def text_digest(text: str) -> str:
    """The digest of a text's UTF-8 bytes, 64 hexadecimal letters."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def file_digest(path: str | Path) -> str:
    """The digest of a file's bytes, read a piece at a time.

    Raises:
        OSError: The file cannot be read.
    """
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def json_digest(value: object) -> str:
    """The digest of a value written as JSON with sorted keys: equal values have equal digests, in any order of keys.

    Args:
        value: Anything JSON can hold.

    Raises:
        TypeError: JSON cannot hold it. A ``str`` of an object would often hold an address, and differ in each process.
    """
    return text_digest(json.dumps(value, sort_keys=True, ensure_ascii=False))


def short_digest(value: object, letters: int = 12) -> str:
    """The first letters of :func:`json_digest`, for names of files and directories."""
    return json_digest(value)[:letters]
