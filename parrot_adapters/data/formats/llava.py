"""LLaVA's JSON: ``{"id", "image": str or list, "conversations": [{"from": "human", "value": "<image>\\n..."}, ...]}``.

``<image>`` may stand anywhere in any human turn, as often as there are images; ``<video>`` likewise. A text-only sample
has neither. A ``system`` field opens the dialogue. Format as in https://github.com/haotian-liu/LLaVA/blob/main/docs/Finetune_Custom_Data.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from parrot_adapters.data.dialogue import Turn
from parrot_adapters.data.formats.data_format import DataFormat
from parrot_adapters.data.formats.described_files import unread_files
from parrot_adapters.data.formats.placeholders import split_at
from parrot_adapters.data.formats.record_fields import IMAGES, VIDEOS, listed, role_of
from parrot_adapters.data.formats.record_files import Files
from parrot_adapters.data.formats.turn_fields import is_learned, read_beside, read_marks, refuse_unwanted, with_system
from parrot_adapters.data.formats.unread_fields import unread
from parrot_adapters.data.problems import BadSample

__all__ = ["LlavaFormat"]


class LlavaFormat(DataFormat):
    """LLaVA's JSON."""

    def recognise(self, record: object) -> str | None:
        if not isinstance(record, Mapping) or not has_conversations(record):
            return None
        return "it has 'conversations' with 'from' and 'value'"

    def turns(self, record: Any, files: Files) -> tuple[Turn, ...]:
        return conversation(record, files)

    def unread(self, record: Any) -> Iterable[str]:
        return unread_in_conversation(record)


def has_conversations(record: Mapping[str, Any]) -> bool:
    """Whether the turns are called as LLaVA calls them."""
    said = record.get("conversations")
    return isinstance(said, list) and bool(said) and isinstance(said[0], Mapping) and {"from", "value"} <= {*said[0]}


def conversation(record: Any, files: Files) -> tuple[Turn, ...]:
    """The turns of a record with ``conversations``, its images and videos where their placeholders are."""
    said = record.get("conversations") if isinstance(record, Mapping) else None
    if not isinstance(said, list):
        raise BadSample("bad-record", "there is no list 'conversations'")
    refuse_unwanted(record)
    markers: dict[str, list[Any]] = {
        "<image>": [files.picture(given) for given in listed(record, *IMAGES)],
        "<video>": [files.video(given) for given in listed(record, *VIDEOS)],
    }
    turns = []
    for number, message in enumerate(said, 1):
        if not isinstance(message, Mapping) or not isinstance(message.get("value"), str):
            raise BadSample("bad-record", f"turn {number} has no text 'value'")
        turns.append(Turn(role_of(message.get("from")), split_at(message["value"], markers), is_learned(message)))
    left = {marker: len(rest) for marker, rest in markers.items() if rest}
    if left:
        shown = ", ".join(f"{count} of its files without {marker} in a turn" for marker, count in left.items())
        raise BadSample("placeholder-mismatch", shown)
    return with_system(record, turns)


def unread_in_conversation(record: Any) -> Iterator[str]:
    """Fields that :func:`conversation` does not read, of a record and its turns."""
    if not isinstance(record, Mapping):
        return
    shown = yield from unread_files(record, IMAGES, VIDEOS)
    yield from unread(record, {"conversations", *shown, *read_beside(record)})
    for message in listed(record, "conversations"):
        if isinstance(message, Mapping):
            yield from unread(message, {"from", "value", *read_marks(message)}, within="conversations.")
