"""What a data format is: how one record of a file becomes the turns of a dialogue. Plugins subclass it."""

from __future__ import annotations

import base64
import binascii
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from parrot_adapters.data.dialogue import Picture, Turn, Video
from parrot_adapters.data.problems import BadSample
from parrot_adapters.data.records import JsonRecords, LineStream, Records, RecordStream

__all__ = ["DataFormat", "Files", "role_of", "split_at", "text_of"]

ROLES = {
    "system": "system",
    **dict.fromkeys(("user", "human"), "user"),
    **dict.fromkeys(("assistant", "gpt", "chatgpt", "bard", "bing", "model"), "assistant"),
}
"""Who speaks, in the spellings that training files use."""


@dataclass(frozen=True)
class Files:
    """Where the pictures of a source are.

    Attributes:
        folder: what relative paths are relative to.
    """

    folder: Path

    def picture(self, given: object) -> Picture:
        """A picture as files name it: a path, a data URL, bytes, or ``{"path": ..., "bytes": ..., "base64": ...}``.

        Raises:
            BadSample: it is none of these, or not base64.
        """
        if isinstance(given, Mapping):
            return self._described(given)
        if isinstance(given, bytes | bytearray):
            return Picture(data=bytes(given))
        if isinstance(given, str) and given.strip():
            if given.startswith("data:"):
                return Picture(data=from_base64(given.partition(",")[2]))
            return Picture(path=self._path(given, "picture"))
        raise BadSample("missing-image", f"a picture is named by {_brief(given)}")

    def video(self, given: object) -> Video:
        """A video as files name it: a path, bytes, a list of its frames, or
        ``{"path": ..., "bytes": ..., "frames": [...], "fps": ...}``.

        Raises:
            BadSample: it is none of these.
        """
        fps = None
        if isinstance(given, Mapping):
            fps = given.get("fps")
            if fps is not None and (isinstance(fps, bool) or not isinstance(fps, int | float) or not 0 < fps < 1e6):
                raise BadSample("bad-video", f"a video has {_brief(fps)} frames in a second")
            given = next((given[key] for key in ("frames", "bytes", "path", "video", "url") if given.get(key)), None)
        if isinstance(given, Mapping):
            return replace(self.video(given), **({} if fps is None else {"fps": fps}))
        if isinstance(given, bytes | bytearray):
            return Video(data=bytes(given), fps=fps)
        if isinstance(given, list | tuple) and given:
            return Video(frames=tuple(self.picture(frame) for frame in given), fps=fps)
        if isinstance(given, str) and given.strip():
            return replace(self.video_file(given), fps=fps)
        raise BadSample("bad-video", f"a video is named by {_brief(given)}")

    def video_file(self, name: str) -> Video:
        """The video that a file's name stands for.

        Raises:
            BadSample: it is on the network.
        """
        return Video(path=self._path(name, "video"))

    def _described(self, given: Mapping[str, Any]) -> Picture:
        if given.get("bytes"):
            return self.picture(given["bytes"])
        if given.get("base64"):
            return Picture(data=from_base64(str(given["base64"]).partition("base64,")[2] or str(given["base64"])))
        for key in ("path", "image", "url", "image_url"):
            if given.get(key):
                return self.picture(given[key])
        raise BadSample("missing-image", f"a picture is described by {_brief(dict(given))}")

    def _path(self, given: str, what: str) -> str:
        if given.startswith("file://"):
            given = given.removeprefix("file://")
        elif "://" in given:
            kind = "missing-image" if what == "picture" else "bad-video"
            raise BadSample(kind, f"a {what} is on the network ({given[:80]}); download it first, give its path")
        return str(self.folder / given)


class DataFormat(ABC):
    """How one record becomes a dialogue. Subclass it, and register an instance's factory through the hook.

    What every format needs (alternating roles, no empty turn, an answer to learn) is checked by the library: a format
    only says what stands where, and raises :class:`BadSample` for what it cannot read.

    A format may also be a kind of file: ``suffixes`` says which, ``records`` and ``stream`` read it. Such files are
    read by it alone, whether named one by one, by a pattern or by their directory, streamed or not.

    Attributes:
        suffixes: of files that it reads itself, lower case and with the dot; none for what is in JSON.
    """

    suffixes: ClassVar[tuple[str, ...]] = ()

    def records(self, path: Path) -> Records:
        """The records of a file; JSON lists and JSON lines by default.

        Raises:
            DataError: the file cannot be read at all.
        """
        return JsonRecords(path)

    def stream(self, path: Path) -> RecordStream:
        """The records of a file one after the other, with a position; JSON lines by default.

        Raises:
            DataError: the file cannot be read at all.
        """
        return LineStream(path)

    def holding(self, inner: DataFormat) -> DataFormat:
        """What reads a file of this kind whose records are in another format that was asked for by name: that format,
        unless this one wraps records of others.
        """
        return inner

    @abstractmethod
    def recognise(self, record: object) -> str | None:
        """Why a record is in this format, for example ``"it has 'conversations' with 'from'"``; None if it is not."""

    @abstractmethod
    def turns(self, record: Any, files: Files) -> tuple[Turn, ...]:
        """The dialogue.

        Raises:
            BadSample: the record is not what the format asks for.
        """

    def identity(self, record: Any) -> str | None:
        """The record's own name, if it has one."""
        return text_of(record, "id", "question_id", "uid")

    def language(self, record: Any) -> str | None:
        """The BCP-47 tag that the record declares, if it does."""
        return text_of(record, "language", "lang")


def text_of(record: object, *keys: str) -> str | None:
    """The first of some keys with a text or number, as text."""
    if isinstance(record, Mapping):
        for key in keys:
            value = record.get(key)
            if isinstance(value, str | int) and not isinstance(value, bool) and str(value).strip():
                return str(value).strip()
    return None


def role_of(given: object) -> Any:
    """``system``, ``user`` or ``assistant``.

    Raises:
        BadSample: somebody else speaks.
    """
    role = ROLES.get(given.strip().lower()) if isinstance(given, str) else None
    if role is None:
        raise BadSample("wrong-role", f"{_brief(given)} speaks; known are {', '.join(ROLES)}")
    return role


def split_at(text: str, markers: Mapping[str, list[Any]]) -> tuple[str | Picture | Video, ...]:
    """Put pictures where their placeholders are. A line break beside a placeholder belongs to it and goes with it.

    Args:
        text: with placeholders.
        markers: what each placeholder stands for, in order; taken from the front as they are found.

    Raises:
        BadSample: there are more placeholders than things to put there.
    """
    parts: list[Any] = []
    while True:
        found = [(text.find(marker), marker) for marker in markers if marker in text]
        if not found:
            break
        at, marker = min(found)
        if not markers[marker]:
            raise BadSample("placeholder-mismatch", f"there are more {marker} than files for them")
        before = text[:at].removesuffix("\n").removesuffix("\r")
        parts += [before, markers[marker].pop(0)] if before.strip() else [markers[marker].pop(0)]
        text = text[at + len(marker) :].removeprefix("\r").removeprefix("\n")
    if text.strip():
        parts.append(text)
    return trimmed(parts)


def trimmed(parts: Sequence[Any]) -> tuple[Any, ...]:
    """Without white space at the turn's own ends, and without empty texts."""
    kept = list(parts)
    if kept and isinstance(kept[0], str):
        kept[0] = kept[0].lstrip()
    if kept and isinstance(kept[-1], str):
        kept[-1] = kept[-1].rstrip()
    return tuple(part for part in kept if part != "")


def from_base64(text: str) -> bytes:
    """Bytes behind base64 text.

    Raises:
        BadSample: it is not base64.
    """
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadSample("broken-image", f"not base64: {error}; it begins {text[:32]!r}") from None


def _brief(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= 80 else shown[:77] + "..."
