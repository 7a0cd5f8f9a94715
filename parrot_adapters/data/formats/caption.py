"""Captions: ``{"image": "cat.jpg", "caption": "Bir kedi."}``, as image-text pairs are published.

The caption is the answer to the picture alone, as in LLaVA's first stage. Fields ``txt`` and ``text`` are read alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from parrot_adapters.data.dialogue import Turn
from parrot_adapters.data.formats.data_format import DataFormat
from parrot_adapters.data.formats.described_files import unread_files
from parrot_adapters.data.formats.record_fields import IMAGES, VIDEOS, listed
from parrot_adapters.data.formats.record_files import Files
from parrot_adapters.data.formats.turn_fields import read_beside, refuse_unwanted, with_system
from parrot_adapters.data.formats.unread_fields import first_of, unread
from parrot_adapters.data.problems import BadSample

__all__ = ["CaptionFormat"]

CAPTIONS = ("caption", "txt", "text")


class CaptionFormat(DataFormat):
    """Pictures or videos with a caption."""

    def recognise(self, record: object) -> str | None:
        if not isinstance(record, Mapping) or not isinstance(_caption(record), str):
            return None
        shown = [key for key in (*IMAGES, *VIDEOS) if listed(record, key)]
        return f"it has a caption and {shown[0]!r}" if shown else None

    def turns(self, record: Any, files: Files) -> tuple[Turn, ...]:
        caption = _caption(record) if isinstance(record, Mapping) else None
        if not isinstance(caption, str):
            raise BadSample("bad-record", "there is no text 'caption'")
        pictures = [files.picture(given) for given in listed(record, *IMAGES)]
        videos = [files.video(given) for given in listed(record, *VIDEOS)]
        refuse_unwanted(record)
        return with_system(record, (Turn("user", (*pictures, *videos)), Turn("assistant", (caption.strip(),))))

    def unread(self, record: Any) -> Iterable[str]:
        shown = yield from unread_files(record, IMAGES, VIDEOS)
        yield from unread(record, {first_of(record, *CAPTIONS), *shown, *read_beside(record)})


def _caption(record: Mapping[str, Any]) -> Any:
    return next((record[key] for key in CAPTIONS if record.get(key)), None)
