"""A training sample: one dialogue with its pictures, whatever file it came from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from parrot_adapters.data.byte_ranges import Stored

__all__ = ["Dialogue", "Picture", "Turn", "Video"]


@dataclass(frozen=True)
class Picture:
    """A picture that is read when it is needed. One of these says where it is.

    Attributes:
        path: Path of its file; None where it has none.
        data: Encoded bytes (PNG, JPEG ...) that came with the sample; None where none did.
        stored: Stretch of another file that holds it; None for none.
    """

    path: str | None = None
    data: bytes | None = None
    stored: Stored | None = None


@dataclass(frozen=True)
class Video:
    """A video that is read when it is needed. One of these says where it is.

    Attributes:
        path: Path of its file, or of a directory of pictures, its frames in the order of their names; None where it has
            none.
        data: Encoded bytes (MP4 ...) that came with the sample; None where none did.
        stored: Stretch of another file that holds it; None for none.
        frames: Frames as pictures, of a video that is given so.
        fps: Number of frames in a second, of a video that is given as frames; None where nobody said.
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
        role: Who speaks: ``"system"``, ``"user"`` or ``"assistant"``.
        parts: Text and pictures in the order in which they are read.
        learned: Whether an answer is to be learned; one that is not is only read by what follows.
    """

    role: Literal["system", "user", "assistant"]
    parts: tuple[str | Picture | Video, ...]
    learned: bool = True


@dataclass(frozen=True)
class Dialogue:
    """One sample.

    Attributes:
        identity: Name of the sample in messages and files: its own id, or ``FILE:NUMBER``.
        source: Path of the source it comes from.
        language: BCP-47 tag, or None if nobody said.
        turns: Turns: system (optional), then user and assistant in alternation.
        number: Number of its record in the source, from 0; two samples may share an identity, but not this.
    """

    identity: str
    source: str
    language: str | None
    turns: tuple[Turn, ...]
    number: int = 0
