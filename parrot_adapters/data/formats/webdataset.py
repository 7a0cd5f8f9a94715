"""WebDataset: tar shards whose samples are files that share a key.

    000123.json       a record in any format there is, or ``{"caption": ...}``
    000123.txt        a caption, where there is no record or it has none
    000123.jpg, 000123.0.png, 000123.1.webp ...      the sample's pictures; videos likewise

A picture that a record names is looked for among the sample's own files, never on disk. A record that names none gets
them all, in the order of their numbers; one that names as many as there are, by names they had elsewhere, likewise.

A record is the mapping that WebDataset's own tools make: ``__key__``, and the files by what follows the key in their
names.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from parrot_adapters.data.byte_ranges import Stored
from parrot_adapters.data.decode_pictures import by_number
from parrot_adapters.data.dialogue import Picture, Turn, Video
from parrot_adapters.data.formats.data_format import DataFormat
from parrot_adapters.data.formats.recognise import known_formats, looks_like, recognised_by
from parrot_adapters.data.formats.record_fields import IMAGES, VIDEOS, listed
from parrot_adapters.data.formats.record_files import Files
from parrot_adapters.data.formats.unread_fields import unread
from parrot_adapters.data.problems import BadSample

__all__ = ["WebDatasetFormat"]

PICTURE_SUFFIXES = frozenset(["avif", "bmp", "gif", "jfif", "jpe", "jpeg", "jpg", "png", "ppm", "tif", "tiff", "webp"])
VIDEO_SUFFIXES = frozenset(["avi", "m4v", "mkv", "mov", "mp4", "mpeg", "mpg", "webm"])
TEXTS = ("txt", "text", "caption")
PARTS = ("image", "image_url", "video")  # types of a chat's parts that show something
NAMES = ("image", "path", "url", "image_url", "video", "frames", "base64", "bytes")


class WebDatasetFormat(DataFormat):
    """Samples that are files with a common key.

    Args:
        inner: the format of their records; None to recognise each.
    """

    def __init__(self, inner: DataFormat | None = None) -> None:
        self._inner = inner
        self._known: dict[str, DataFormat] = {}

    def holding(self, inner: DataFormat) -> DataFormat:
        return WebDatasetFormat(inner)

    def recognise(self, record: object) -> str | None:
        if not isinstance(record, Mapping) or not isinstance(record.get("__key__"), str):
            return None
        files = ", ".join(str(name) for name in record if not str(name).startswith("__"))
        return f"its files share a key: {files}"

    def turns(self, record: Any, files: Files) -> tuple[Turn, ...]:
        content, own = _content(record)
        return self._format_of(content).turns(content, own)

    def identity(self, record: Any) -> str | None:
        try:
            content, _ = _content(record)
            own = self._format_of(content).identity(content)
        except BadSample:
            own = None
        return own or str(record["__key__"])

    def language(self, record: Any) -> str | None:
        content, _ = _content(record)
        return self._format_of(content).language(content)

    def unread(self, record: Any) -> Iterable[str]:
        content, _ = _content(record)
        yield from self._format_of(content).unread(content)
        read = {*PICTURE_SUFFIXES, *VIDEO_SUFFIXES, *TEXTS, "json"}
        yield from unread({str(n): record[n] for n in record if _suffix(str(n)) not in read}, ("__key__", "__url__"))

    def _format_of(self, content: Any) -> DataFormat:
        if self._inner is not None:
            return self._inner
        if not self._known:
            self._known = {name: f for name, f in known_formats().items() if not isinstance(f, WebDatasetFormat)}
        found = recognised_by(content, self._known)
        if found is None:
            raise BadSample("bad-record", f"no data format recognises the sample's record: {looks_like(content)}")
        return found.format


@dataclass(frozen=True)
class _Own(Files):
    """The files of one sample, by the names that its record may call them."""

    key: str = ""
    pictures: Mapping[str, Picture] = field(default_factory=dict)
    videos: Mapping[str, Video] = field(default_factory=dict)

    def picture(self, given: object) -> Picture:
        if not isinstance(given, str) or not given.strip() or given.startswith("data:"):
            return super().picture(given)
        name = self.find(given, self.pictures)
        if name is None:
            raise BadSample("missing-image", f"the record names {given[:80]}; {self._there(self.pictures)}")
        return self.pictures[name]

    def video_file(self, name: str) -> Video:
        found = self.find(name, self.videos)
        if found is None:
            raise BadSample("bad-video", f"the record names {name[:80]}; {self._there(self.videos)}")
        return self.videos[found]

    def find(self, given: str, among: Mapping[str, Any]) -> str | None:
        """What the file that a record calls ``given``, by its whole name or the end of it, is called here."""
        name, own = PurePosixPath(given).name, PurePosixPath(self.key).name
        return next((known for known in among if name in (known, f"{own}.{known}")), None)

    def _there(self, among: Mapping[str, Any]) -> str:
        return f"the sample's own files are {', '.join(among)}" if among else "the sample has no such files"


def _content(record: Mapping[str, Any]) -> tuple[Any, _Own]:
    """The sample's record, with the sample's files where it names none, and these files.

    Raises:
        BadSample: the sample is damaged, or has neither a record nor a caption.
    """
    if isinstance(record.get("__problem__"), BadSample):
        raise record["__problem__"]
    names = sorted((str(n) for n in record if not str(n).startswith("__") and record[n] is not None), key=by_number)
    pictures = {name: _picture(record[name]) for name in names if _suffix(name) in PICTURE_SUFFIXES}
    videos = {name: _video(record[name]) for name in names if _suffix(name) in VIDEO_SUFFIXES}
    own = _Own(Path(), key=str(record["__key__"]), pictures=pictures, videos=videos)
    content, caption = _one(record, names, ("json",)), _one(record, names, TEXTS)
    if isinstance(content, list):  # the messages themselves
        content = {"messages": content}
    if content is None and caption is None:
        there = ", ".join(names) or "none"
        raise BadSample("bad-record", f"the sample has neither a .json nor a .txt; its files are {there}")
    if content is not None and not isinstance(content, Mapping):
        raise BadSample("bad-record", f"the sample's .json is no object but {type(content).__name__}")
    content = dict(content or {})
    if caption is not None and not content.get("caption"):
        content["caption"] = caption
    _fill_in(content, IMAGES, "<image>", own, pictures)
    _fill_in(content, VIDEOS, "<video>", own, videos)
    return content, own


def _fill_in(content: dict[str, Any], keys: tuple[str, ...], marker: str, own: _Own, files: Mapping[str, Any]) -> None:
    """Name the sample's files in a record that names none, or by other names as many."""
    named = listed(content, *keys)
    elsewhere = all(isinstance(name, str) and not name.startswith("data:") for name in named)
    if named:
        known = [own.find(name, files) for name in named] if elsewhere else [""]
        if any(name is not None for name in known) or len(named) != len(files):
            return
    elif not files or _shows_its_own(content):
        return
    for key in keys:
        content.pop(key, None)
    content[keys[1]] = list(files)


def _shows_its_own(content: Mapping[str, Any]) -> bool:
    """Whether the parts of a chat say themselves what they show, or pictures are the frames of a video."""
    if any(not isinstance(video, str) for video in listed(content, "video", "videos")):
        return True
    for turn in listed(content, "messages", "conversation", "conversations"):
        parts = turn.get("content") if isinstance(turn, Mapping) else None
        for part in parts if isinstance(parts, list) else ():
            if isinstance(part, Mapping) and part.get("type") in PARTS and any(part.get(name) for name in NAMES):
                return True
    return False


def _one(record: Mapping[str, Any], names: Sequence[str], suffixes: Sequence[str]) -> Any:
    """The only file of some kind; where there are several, the one that is called nothing else."""
    found = [name for name in names if _suffix(name) in suffixes]
    plain = [name for name in found if name.lower() in suffixes] or found
    if len(plain) > 1:
        raise BadSample("bad-record", f"the sample has several records: {', '.join(plain)}")
    value = record[plain[0]] if plain else None
    if isinstance(value, BadSample):
        raise value
    return value


def _picture(given: Any) -> Picture:
    if isinstance(given, Stored):
        return Picture(stored=given)
    return Picture(data=_bytes(given, "missing-image"))


def _video(given: Any) -> Video:
    if isinstance(given, Stored):
        return Video(stored=given)
    return Video(data=_bytes(given, "bad-video"))


def _bytes(given: Any, kind: str) -> bytes:
    data = given.get("bytes") if isinstance(given, Mapping) else given
    if not isinstance(data, bytes):
        raise BadSample(kind, f"a file of the sample has no bytes but is {type(given).__name__}")
    return data


def _suffix(name: str) -> str:
    return name.rpartition(".")[2].lower()
