"""Reading the fields of a record as people write them: who speaks, one thing or a list of them, texts and numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from parrot_adapters.data.problems import BadSample

__all__ = ["IMAGES", "LANGUAGES", "ROLES", "VIDEOS", "brief", "listed", "role_of", "text_of"]

IMAGES = ("image", "images", "image_path", "image_paths")
VIDEOS = ("video", "videos", "video_path", "video_paths")
"""Fields that name pictures and videos; the first that holds something is read."""

LANGUAGES = ("language", "lang")
"""Fields that say a record's language; the first with a text is read."""
ROLES = {
    "system": "system",
    **dict.fromkeys(("user", "human"), "user"),
    **dict.fromkeys(("assistant", "gpt", "chatgpt", "bard", "bing", "model"), "assistant"),
}
"""Who speaks, in the spellings that training files use."""


def role_of(given: object) -> Any:
    """Read who speaks a turn: ``system``, ``user`` or ``assistant``.

    Args:
        given: What the record says, under any of the usual names.

    Raises:
        BadSample: Somebody else speaks.
    """
    role = ROLES.get(given.strip().lower()) if isinstance(given, str) else None
    if role is None:
        raise BadSample("wrong-role", f"{brief(given)} speaks; known are {', '.join(ROLES)}")
    return role


def text_of(record: object, *keys: str) -> str | None:
    """The first of some keys with a text or number, as text."""
    if isinstance(record, Mapping):
        for key in keys:
            value = record.get(key)
            if isinstance(value, str | int) and not isinstance(value, bool) and str(value).strip():
                return str(value).strip()
    return None


def listed(record: Mapping[str, Any], *keys: str) -> list[Any]:
    """What the first of some keys holds, as a list; empty where there is nothing."""
    for key in keys:
        value = record.get(key)
        if value is not None and value != "" and value != []:
            return list(value) if isinstance(value, list | tuple) else [value]
    return []


def brief(value: object) -> str:
    """A value in a few characters, for messages."""
    shown = repr(value)
    return shown if len(shown) <= 80 else shown[:77] + "..."
