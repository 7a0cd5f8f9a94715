"""Digests: short names for contents. All are hexadecimal SHA-256, of the content and nothing else.

Whoever publishes files may give their MD5 instead; :func:`file_md5` is for comparing with those. A :class:`Checksum` is
for files of gigabytes that are to be what they were, and are looked at each time they are loaded.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

import xxhash

__all__ = [
    "CHECKSUM_PATTERN",
    "Checksum",
    "bytes_digest",
    "file_checksum",
    "file_digest",
    "file_md5",
    "json_digest",
    "short_digest",
    "text_digest",
]

XXH3, PIECE = "xxh3-", 1 << 20
CHECKSUM_PATTERN = XXH3 + "[0-9a-f]{32}|[0-9a-f]{64}"


class Checksum:
    """What tells whether bytes are those that were written: XXH3 of 128 bits, ``xxh3-`` and 32 hexadecimal letters.

    It recognises damage, and is no protection from somebody who means to change a file and writes its checksum anew.
    SHA-256 beside the file does no more than that, and takes ten times as long.

    Args:
        like: A checksum that this one is to be compared with: it is made in the same way, which is SHA-256 for those of
            64 hexadecimal letters, as earlier versions wrote them. None (default) is XXH3.
    """

    def __init__(self, like: str | None = None) -> None:
        self._is_xxh3 = like is None or like.startswith(XXH3)
        self._hash = xxhash.xxh3_128() if self._is_xxh3 else hashlib.sha256()

    def update(self, piece: bytes | bytearray | memoryview) -> None:
        """Take the next bytes in."""
        self._hash.update(piece)

    def text(self) -> str:
        """The checksum of all bytes so far."""
        return (XXH3 if self._is_xxh3 else "") + self._hash.hexdigest()


def bytes_digest(pieces: Iterable[bytes]) -> str:
    """The digest of bytes that come in pieces, however they are cut, without holding them all.

    Args:
        pieces: The bytes in order, for example ``[content]``.
    """
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest()


def text_digest(text: str) -> str:
    """The digest of a text's UTF-8 bytes.

    Args:
        text: Any text.

    Returns:
        64 hexadecimal letters.
    """
    return bytes_digest([text.encode("utf-8")])


def file_digest(path: str | Path) -> str:
    """The digest of a file's bytes, read a piece at a time.

    Args:
        path: File to read.

    Raises:
        OSError: The file cannot be read.
    """
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def file_checksum(path: str | Path, like: str | None = None) -> str:
    """The checksum of a file's bytes, read a piece at a time.

    Args:
        path: File to read.
        like: As :class:`Checksum` has it.

    Raises:
        OSError: The file cannot be read.
    """
    checksum = Checksum(like)
    with Path(path).open("rb", buffering=0) as file:
        while piece := file.read(PIECE):
            checksum.update(piece)
    return checksum.text()


def file_md5(path: str | Path) -> str:
    """The MD5 of a file's bytes, to compare with one that was published; it guards against mistakes, not attackers.

    Args:
        path: File to read.

    Raises:
        OSError: The file cannot be read.
    """
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def json_digest(value: object) -> str:
    """The digest of a value written as JSON with sorted keys: equal values have equal digests, in any order of keys.

    Args:
        value: Anything JSON can hold.

    Raises:
        TypeError: JSON cannot hold it. A ``str`` of an object would often hold an address, and differ in each process.
    """
    return text_digest(json.dumps(value, sort_keys=True, ensure_ascii=False))


def short_digest(value: object, letters: int = 12) -> str:
    """The first letters of :func:`json_digest`, for names of files and directories.

    Args:
        value: Anything JSON can hold.
        letters: Number of letters, 1 to 64 (default 12).
    """
    return json_digest(value)[:letters]
