"""A training sample: one dialogue with its pictures, whatever file it came from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from parrot_adapters.data.stored import Stored

__all__ = ["Dialogue", "Picture", "Turn", "Video"]


@dataclass(frozen=True)
class Picture:
    """A picture that is read when it is needed. One of these says where it is.

    Attributes:
        path: of its file.
        data: encoded bytes (PNG, JPEG ...) that came with the sample.
        stored: a stretch of another file.
    """

    path: str | None = None
    data: bytes | None = None
    stored: Stored | None = None


@dataclass(frozen=True)
class Video:
    """A video that is read when it is needed. One of these says where it is.

    Attributes:
        path: of its file, or of a directory of pictures, its frames in the order of their names.
        data: encoded bytes (MP4 ...) that came with the sample.
        stored: a stretch of another file.
        frames: its frames as pictures.
        fps: frames in a second, of a video that is given as frames; None where nobody said.
    """

    path: str | None = None
    data: bytes | None = None
    stored: Stored | None = None
    frames: tuple[Picture, ...] = ()
    fps: float | None = None


@dataclass(frozen=True)
class Turn:
    """One message.

    Attributes:
        role: who speaks.
        parts: text and pictures in the order in which they are read.
        learned: whether an answer is to be learned; one that is not is only read by what follows.
    """

    role: Literal["system", "user", "assistant"]
    parts: tuple[str | Picture | Video, ...]
    learned: bool = True


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
