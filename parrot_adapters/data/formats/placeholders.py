"""Pictures and videos in the text: each takes the place of its placeholder."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from parrot_adapters.data.dialogue import Picture, Video
from parrot_adapters.data.problems import BadSample

__all__ = ["split_at", "trimmed"]


def split_at(text: str, markers: Mapping[str, list[Any]]) -> tuple[str | Picture | Video, ...]:
    """Put pictures where their placeholders are. A line break beside a placeholder belongs to it and goes with it.

    Args:
        text: Text of a turn, with placeholders.
        markers: What each placeholder stands for, in order; taken from the front as they are found.

    Raises:
        BadSample: There are more placeholders than things to put there.
    """
    if not any(marker in text for marker in markers):
        return trimmed([text] if text.strip() else [])
    placeholder = re.compile("|".join(map(re.escape, markers)))
    parts: list[Any] = []
    done = 0
    for found in placeholder.finditer(text):
        waiting = markers[found[0]]
        if not waiting:
            raise BadSample("placeholder-mismatch", f"there are more {found[0]} than files for them")
        before = _without_break_in_front(text[done : found.start()], first=done == 0)
        before = before.removesuffix("\n").removesuffix("\r")
        parts += [before, waiting.pop(0)] if before.strip() else [waiting.pop(0)]
        done = found.end()
    rest = _without_break_in_front(text[done:], first=done == 0)
    if rest.strip():
        parts.append(rest)
    return trimmed(parts)


def trimmed(parts: Sequence[Any]) -> tuple[Any, ...]:
    """Without white space at the turn's own ends, and without empty texts."""
    kept = list(parts)
    if kept and isinstance(kept[0], str):
        kept[0] = kept[0].lstrip()
    if kept and isinstance(kept[-1], str):
        kept[-1] = kept[-1].rstrip()
    return tuple(part for part in kept if part != "")


def _without_break_in_front(text: str, *, first: bool) -> str:
    return text if first else text.removeprefix("\r").removeprefix("\n")
