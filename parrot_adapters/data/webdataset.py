"""WebDataset: tar shards whose samples are files that share a key.

    000123.json       a record in any format there is, or ``{"caption": ...}``
    000123.txt        a caption, where there is no record or it has none
    000123.jpg, 000123.0.png, 000123.1.webp ...      the sample's pictures; videos likewise

A picture that a record names is looked for among the sample's own files, never on disk. A record that names none gets
them all, in the order of their numbers; one that names as many as there are, by names they had elsewhere, likewise.

A sample is the mapping that WebDataset's own tools make: ``__key__``, and the files by what follows the key in their
names. So the samples of a Hub data set, which ``datasets`` reads, mean the same.

The shards themselves are read by the standard library's ``tarfile`` (``shards.py``): a position is a byte, one bad
sample costs one sample, and pictures are read where they are decoded. ``datasets`` reads local shards too,
but asks the first five samples for the same files, drops a file that only later samples have, and ends at the first
broken JSON; package ``webdataset`` keeps no position (its issues 177 and 271).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from parrot_adapters.data.decode_pictures import by_number, stored_bytes
from parrot_adapters.data.dialogue import Picture, Stored, Turn, Video
from parrot_adapters.data.format_base import DataFormat, Files
from parrot_adapters.data.llava import listed
from parrot_adapters.data.problems import BadSample
from parrot_adapters.data.records import BOM, Records, RecordStream, parse_record
from parrot_adapters.data.tar_samples import TarSample, check_shard, samples
from parrot_adapters.errors import DataError, explain

__all__ = ["TarRecords", "TarStream", "WebDatasetFormat"]

PICTURES = frozenset(["avif", "bmp", "gif", "jfif", "jpe", "jpeg", "jpg", "png", "ppm", "tif", "tiff", "webp"])
VIDEOS = frozenset(["avi", "m4v", "mkv", "mov", "mp4", "mpeg", "mpg", "webm"])
TEXTS = ("txt", "text", "caption")
TEXT_LIMIT = 1 << 26  # bytes of a record; more is no record
PARTS = ("image", "image_url", "video")  # types of a chat's parts that show something
NAMES = ("image", "path", "url", "image_url", "video", "frames", "base64", "bytes")


class TarRecords(Sequence[Any]):
    """The samples of a shard by number. Headers are read once, to find where samples begin: 8 bytes a sample.

    Args:
        path: of the shard.

    Raises:
        DataError: the file is missing, empty, compressed or no tar file.
    """

    def __init__(self, path: Path) -> None:
        check_shard(path)
        self.path = path
        self._begins = [sample.begin for sample in samples(path)]

    def __len__(self) -> int:
        return len(self._begins)

    def __getitem__(self, number: Any) -> Any:
        found = next(samples(self.path, self._begins[number]), None)
        if found is None:
            raise DataError(explain("a file changed while it was read.", file=self.path, sample=f"number {number}"))
        return _record(found, self.path)


class TarStream:
    """The samples of a shard one after the other; the position is a byte.

    Args:
        path: of the shard.

    Raises:
        DataError: as :class:`TarRecords`.
    """

    def __init__(self, path: Path) -> None:
        check_shard(path)
        self._path, self._done, self._at = path, 0, 0

    def __iter__(self) -> Iterator[tuple[int, Any]]:
        for sample in samples(self._path, self._at):
            self._done, self._at = self._done + 1, sample.end
            yield self._done - 1, sample.problem if not sample.key else _record(sample, self._path)

    def state_dict(self) -> dict[str, Any]:
        """Where it is."""
        return {"done": self._done, "at": self._at}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self._done, self._at = state["done"], state["at"]


class WebDatasetFormat(DataFormat):
    """Samples that are files with a common key.

    Args:
        inner: the format of their records; None to recognise each.
    """

    suffixes = (".tar",)

    def __init__(self, inner: DataFormat | None = None) -> None:
        self._inner = inner
        self._known: tuple[DataFormat, ...] = ()

    def records(self, path: Path) -> Records:
        return TarRecords(path)

    def stream(self, path: Path) -> RecordStream:
        return TarStream(path)

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

    def _format_of(self, content: Any) -> DataFormat:
        from parrot_adapters.data.format_choice import known_formats, looks_like

        if self._inner is not None:
            return self._inner
        if not self._known:
            self._known = tuple(f for f in known_formats().values() if not isinstance(f, WebDatasetFormat))
        for known in self._known:
            if known.recognise(content):
                return known
        raise BadSample("bad-record", f"no data format recognises the sample's record: {looks_like(content)}")


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


def _record(sample: TarSample, path: Path) -> dict[str, Any]:
    """The sample as a mapping; its record is parsed, pictures stay where they are."""
    if not sample.key:
        raise sample.problem or BadSample("bad-record", "")
    made: dict[str, Any] = {"__key__": sample.key, "__url__": str(path)}
    if sample.problem is not None:
        made["__problem__"] = sample.problem
    for name, stored in sample.files.items():
        made[name] = _text(stored) if _suffix(name) in ("json", *TEXTS) else stored
    return made


def _text(stored: Stored) -> Any:
    """A record or a caption, or the :class:`BadSample` that it is."""
    if stored.size > TEXT_LIMIT:
        return BadSample("bad-record", f"{stored.name} has {stored.size:,} bytes; {TEXT_LIMIT:,} are allowed")
    try:
        text = stored_bytes(stored, kind="bad-record").removeprefix(BOM)
        return parse_record(text) if _suffix(stored.name) == "json" else text.decode("utf-8")
    except UnicodeDecodeError as error:
        return BadSample("not-utf8", f"{stored.name}, byte {error.start}: {error.reason}")
    except BadSample as problem:
        return BadSample(problem.kind, f"{stored.name}: {problem.reason}")


def _content(record: Mapping[str, Any]) -> tuple[Any, _Own]:
    """The sample's record, with the sample's files where it names none, and these files.

    Raises:
        BadSample: the sample is damaged, or has neither a record nor a caption.
    """
    if isinstance(record.get("__problem__"), BadSample):
        raise record["__problem__"]
    names = sorted((str(n) for n in record if not str(n).startswith("__") and record[n] is not None), key=by_number)
    pictures = {name: _picture(record[name]) for name in names if _suffix(name) in PICTURES}
    videos = {name: _video(record[name]) for name in names if _suffix(name) in VIDEOS}
    own = _Own(Path(), str(record["__key__"]), pictures, videos)
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
    _fill_in(content, ("image", "images"), "<image>", own, pictures)
    _fill_in(content, ("video", "videos"), "<video>", own, videos)
    return content, own


def _fill_in(content: dict[str, Any], keys: tuple[str, str], marker: str, own: _Own, files: Mapping[str, Any]) -> None:
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
