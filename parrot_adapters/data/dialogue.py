"""A training sample: one dialogue with its pictures, whatever file it came from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Dialogue", "Picture", "Turn", "Video"]


@dataclass(frozen=True)
class Picture:
    """A picture that is read when it is needed.

    Attributes:
        path: of the file; None when the bytes came with the sample.
        data: encoded bytes (PNG, JPEG ...), or None.
    """

    path: str | None = None
    data: bytes | None = None


@dataclass(frozen=True)
class Video:
    """A video file.

    Attributes:
        path: of the file.
    """

    path: str


@dataclass(frozen=True)
class Turn:
    """One message.

    Attributes:
        role: who speaks.
        parts: text and pictures in the order in which they are read.
    """

    role: Literal["system", "user", "assistant"]
    parts: tuple[str | Picture | Video, ...]


@dataclass(frozen=True)
class Dialogue:
    """One sample.

    Attributes:
        identity: names it in messages and files: its own id, or ``FILE:NUMBER``.
        source: the path of its source.
        language: BCP-47 tag, or None if nobody said.
        turns: system (optional), then user and assistant in alternation.
        number: which record of its source it is, from 0; two samples may share an identity, but not this.
    """

    identity: str
    source: str
    language: str | None
    turns: tuple[Turn, ...]
    number: int = 0
