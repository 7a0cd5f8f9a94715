"""Chat messages, as chat templates take them: a list of ``{"role", "content"}``, content a string or typed parts.

    {"messages": [{"role": "user", "content": [{"type": "image", "image": "cat.jpg"}, {"type": "text", "text": "?"}]}]}

A picture is a path, a data URL, base64 or bytes, in the part itself under ``image``, ``path``, ``url``, ``base64``,
``bytes`` or ``image_url``, or, where the part is only ``{"type": "image"}``, the next one of the record's ``images``. A
record may also be the list of messages itself. In plain string content ``<image>`` stands for the next of ``images``
(the convention of TRL and LLaMA-Factory). A ``system`` field opens the dialogue.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from parrot_adapters.data.dialogue import Turn
from parrot_adapters.data.formats.data_format import DataFormat
from parrot_adapters.data.formats.described_files import (
    PICTURE_KEYS,
    VIDEO_KEYS,
    unread_files,
    unread_in_picture,
    unread_in_video,
)
from parrot_adapters.data.formats.placeholders import split_at, trimmed
from parrot_adapters.data.formats.record_fields import listed, role_of
from parrot_adapters.data.formats.record_files import Files
from parrot_adapters.data.formats.turn_fields import is_learned, read_beside, read_marks, refuse_unwanted, with_system
from parrot_adapters.data.formats.unread_fields import unread
from parrot_adapters.data.problems import BadSample

__all__ = ["ChatFormat"]

CHAT_IMAGES = ("images", "image", "image_path", "image_paths")
CHAT_VIDEOS = ("videos", "video", "video_path", "video_paths")
SAID = ("messages", "conversation", "conversations")


class ChatFormat(DataFormat):
    """Chat messages, as chat templates take them."""

    def recognise(self, record: object) -> str | None:
        said = messages_of(record)
        if said and isinstance(said[0], Mapping) and {"role", "content"} <= {*said[0]}:
            return "it has messages with 'role' and 'content'"
        return None

    def turns(self, record: Any, files: Files) -> tuple[Turn, ...]:
        said = messages_of(record)
        if said is None:
            raise BadSample("bad-record", "there is no list of messages")
        refuse_unwanted(record)
        beside = record if isinstance(record, Mapping) else {}
        images = [files.picture(given) for given in listed(beside, *CHAT_IMAGES)]
        videos = [files.video(given) for given in listed(beside, *CHAT_VIDEOS)]
        markers: dict[str, list[Any]] = {"<image>": images, "<video>": videos}
        turns = []
        for number, message in enumerate(said, 1):
            if not isinstance(message, Mapping) or "content" not in message:
                raise BadSample("bad-record", f"message {number} has no 'content'")
            parts = _parts(message["content"], number, files, markers)
            turns.append(Turn(role_of(message.get("role")), parts, is_learned(message)))
        if images or videos:
            raise BadSample("placeholder-mismatch", f"{len(images) + len(videos)} of the record's files are not used")
        return with_system(record, turns)

    def unread(self, record: Any) -> Iterable[str]:
        if isinstance(record, Mapping):
            said = next((key for key in SAID if key in record), SAID[0])
            shown = yield from unread_files(record, CHAT_IMAGES, CHAT_VIDEOS)
            yield from unread(record, {said, *shown, *read_beside(record)})
        for message in messages_of(record) or ():
            if isinstance(message, Mapping):
                yield from unread(message, {"role", "content", *read_marks(message)}, within="messages.")
                yield from _unread_in_parts(message.get("content"))


def _unread_in_parts(content: object) -> Iterator[str]:
    for part in content if isinstance(content, list) else ():
        if not isinstance(part, Mapping):
            continue
        if part.get("type") == "text":
            yield from unread(part, {"type", "text"}, within="content.")
        else:
            yield from (unread_in_video if part.get("type") == "video" else unread_in_picture)(part, "content")


def messages_of(record: object) -> list[Any] | None:
    """The list of messages of a record, or None."""
    if isinstance(record, Mapping):
        record = next((record[key] for key in SAID if key in record), None)
    return record if isinstance(record, list) else None


def _parts(content: object, number: int, files: Files, markers: Mapping[str, list[Any]]) -> tuple[Any, ...]:
    if isinstance(content, str):
        return split_at(content, markers)
    if not isinstance(content, list):
        raise BadSample("bad-record", f"the content of message {number} is neither text nor a list of parts")
    return trimmed([_part(part, number, files, markers) for part in content])


def _part(part: object, number: int, files: Files, markers: Mapping[str, list[Any]]) -> Any:
    if isinstance(part, str):
        return part
    kind = part.get("type") if isinstance(part, Mapping) else None
    if not isinstance(part, Mapping) or kind not in ("text", "image", "image_url", "video"):
        raise BadSample("bad-record", f"message {number} has a part of type {kind!r}; known are text, image, video")
    if kind == "text":
        if not isinstance(part.get("text"), str):
            raise BadSample("bad-record", f"a text part of message {number} has no 'text'")
        return part["text"]
    if kind == "video":
        return _own_or_next(part, VIDEO_KEYS, files.video, markers["<video>"], number)
    return _own_or_next(part, PICTURE_KEYS, files.picture, markers["<image>"], number)


def _own_or_next(part: Mapping[str, Any], keys: tuple[str, ...], read: Any, waiting: list[Any], number: int) -> Any:
    if any(part.get(key) is not None for key in keys):
        return read(part)
    if not waiting:
        raise BadSample("placeholder-mismatch", f"message {number} shows a file that is neither in it nor left over")
    return waiting.pop(0)
