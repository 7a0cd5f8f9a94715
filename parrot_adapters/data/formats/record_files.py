"""The pictures and videos that a record names: paths, bytes, base64, data URLs, lists of frames."""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from parrot_adapters.data.dialogue import Picture, Video
from parrot_adapters.data.formats.described_files import PICTURE_KEYS, VIDEO_KEYS, described_by
from parrot_adapters.data.formats.record_fields import brief
from parrot_adapters.data.problems import BadSample

__all__ = ["Files", "from_base64"]


@dataclass(frozen=True)
class Files:
    """Where the pictures of a source are.

    Attributes:
        folder: Folder that relative paths are relative to, and that paths may not lead out of.
        allow_outside: Whether they may.
        caches: Other folders that they may lead into.
    """

    folder: Path
    allow_outside: bool = False
    caches: tuple[Path, ...] = ()

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
        raise BadSample("missing-image", f"a picture is named by {brief(given)}")

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
                raise BadSample("bad-video", f"a video has {brief(fps)} frames in a second")
            key = described_by(given, VIDEO_KEYS)
            given = None if key is None else given[key]
        if isinstance(given, Mapping):
            return replace(self.video(given), **({} if fps is None else {"fps": fps}))
        if isinstance(given, bytes | bytearray):
            return Video(data=bytes(given), fps=fps)
        if isinstance(given, list | tuple) and given:
            return Video(frames=tuple(self.picture(frame) for frame in given), fps=fps)
        if isinstance(given, str) and given.strip():
            return replace(self.video_file(given), fps=fps)
        raise BadSample("bad-video", f"a video is named by {brief(given)}")

    def video_file(self, name: str) -> Video:
        """The video that a file's name stands for.

        Raises:
            BadSample: it is on the network.
        """
        return Video(path=self._path(name, "video"))

    def _described(self, given: Mapping[str, Any]) -> Picture:
        key = described_by(given, PICTURE_KEYS)
        if key is None:
            raise BadSample("missing-image", f"a picture is described by {brief(dict(given))}")
        if key == "base64":
            return Picture(data=from_base64(str(given[key]).partition("base64,")[2] or str(given[key])))
        return self.picture(given[key])

    def _path(self, given: str, what: str) -> str:
        if given.startswith("file://"):
            given = given.removeprefix("file://")
        elif "://" in given:
            kind = "missing-image" if what == "picture" else "bad-video"
            raise BadSample(kind, f"a {what} is on the network ({given[:80]}); download it first, give its path")
        path = self.folder / given
        if not self.allow_outside and not self._is_inside(path, given):
            raise BadSample(
                "outside",
                f"the {what} {given[:120]} is not in {self.folder}; say where they are (data.sources.images), "
                "or allow it (data.sources.allow_outside)",
            )
        return str(path)

    def _is_inside(self, path: Path, given: str) -> bool:
        below = ".." not in given and ":" not in given and not given.startswith(("/", "\\"))
        return below or any(_is_within(path, folder) for folder in (self.folder, *self.caches))


def from_base64(text: str) -> bytes:
    """Bytes behind base64 text.

    Raises:
        BadSample: it is not base64.
    """
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadSample("broken-image", f"not base64: {error}; it begins {text[:32]!r}") from None


def _is_within(path: Path, folder: Path) -> bool:
    """As paths are written: a link inside of the folder is its owner's, wherever it leads."""
    return Path(os.path.abspath(path)).is_relative_to(os.path.abspath(folder))
