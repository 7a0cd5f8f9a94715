"""A stretch of a larger file, such as a member of a tar shard, whose bytes are read when they are needed."""

from __future__ import annotations

from dataclasses import dataclass

from parrot_adapters.data.problems import BadSample

__all__ = ["Stored", "stored_bytes"]


@dataclass(frozen=True)
class Stored:
    """A stretch of a larger file.

    Attributes:
        path: of the larger file.
        start: its first byte.
        size: in bytes.
        name: what messages call it.
    """

    path: str
    start: int
    size: int
    name: str

    def __str__(self) -> str:
        return f"{self.path}: {self.name}"


def stored_bytes(stored: Stored, *, kind: str = "broken-image") -> bytes:
    """The bytes of a stretch of a file.

    Args:
        stored: which.
        kind: of the problem, where they are not there.

    Raises:
        BadSample: the file is gone or shorter than it was.
    """
    try:
        with open(stored.path, "rb") as file:
            file.seek(stored.start)
            data = file.read(stored.size)
    except OSError as error:
        raise BadSample(kind, f"{stored}: {error.strerror}") from None
    if len(data) < stored.size:
        raise BadSample(kind, f"{stored}: {len(data):,} of {stored.size:,} bytes are there")
    return data
