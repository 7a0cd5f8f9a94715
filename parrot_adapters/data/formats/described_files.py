"""What records say of a picture or video beside where it is: ``{"path": "a.png", "max_pixels": 50176}``."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import Any

from parrot_adapters.data.formats.record_fields import listed
from parrot_adapters.data.formats.unread_fields import first_of, unread

__all__ = ["PICTURE_KEYS", "VIDEO_KEYS", "described_by", "unread_files", "unread_in_picture", "unread_in_video"]

PICTURE_KEYS = ("bytes", "base64", "path", "image", "url", "image_url")
VIDEO_KEYS = ("frames", "bytes", "path", "video", "url")
"""Fields that hold a picture or video, or say where it is; the first that holds something is read."""
BYTES = ("bytes", "base64")  # beside them, a path is only a name


def described_by(given: Mapping[str, Any], keys: Sequence[str]) -> str | None:
    """The field of a description that is read; None where there is none."""
    return next((key for key in keys if given.get(key)), None)


def unread_files(
    record: Mapping[str, Any], pictures: Sequence[str], videos: Sequence[str]
) -> Generator[str, None, tuple[str, str]]:
    """What nothing reads in the descriptions of a record's pictures and videos.

    Args:
        record: with fields for them.
        pictures: fields that may hold pictures; the first that holds something is read.
        videos: fields that may hold videos.

    Returns:
        the two fields that are read.
    """
    picture, video = first_of(record, *pictures), first_of(record, *videos)
    for given in listed(record, picture):
        yield from unread_in_picture(given, picture)
    for given in listed(record, video):
        yield from unread_in_video(given, video)
    return picture, video


def unread_in_picture(given: object, within: str) -> Iterator[str]:
    """Fields of a picture's description that nothing reads.

    Args:
        given: the picture as the record names it; one that is no mapping has no fields.
        within: what the description stands in, for names: ``images``.
    """
    yield from _unread(given, within, PICTURE_KEYS, {"type"})


def unread_in_video(given: object, within: str) -> Iterator[str]:
    """Fields of a video's description that nothing reads, those of its frames included."""
    yield from _unread(given, within, VIDEO_KEYS, {"type", "fps"})


def _unread(given: object, within: str, keys: Sequence[str], read: set[str]) -> Iterator[str]:
    if isinstance(given, list | tuple):  # frames
        for frame in given:
            yield from unread_in_picture(frame, within)
    if not isinstance(given, Mapping):
        return
    key = described_by(given, keys)
    if key is None:  # the next of the record's own
        yield from unread(given, read, within=f"{within}.")
        return
    yield from unread(given, {key, *read, *(("path",) if key in BYTES else ())}, within=f"{within}.")
    yield from _unread(given[key], f"{within}.{key}", keys, read)
