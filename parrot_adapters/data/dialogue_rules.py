"""What every dialogue must be, whatever its format: somebody asks, the assistant answers last, nobody is silent."""

from __future__ import annotations

import re
from collections.abc import Sequence

from parrot_adapters.data.dialogue import Turn
from parrot_adapters.data.problems import BadSample

__all__ = ["check_turns", "until_last_learned"]

PLACEHOLDER = re.compile(
    r"<(?:image|img|video|audio)(?:[_ -]?\d+)?>(?:[^<>\n]*</(?:img|image)>)?"
    r"|<(?:img|video|audio)\s[^<>\n]*?\bsrc="
    r"|!\[[^\[\]\n]*\]\([^()\s]*\.(?:jpe?g|png|webp|gif|bmp|tiff?)\)",
    re.IGNORECASE,
)
"""What data sets write where a picture, video or recording belongs: ``<image_1>``, ``<img>path</img>``, HTML."""
HALF = re.compile("[\ud800-\udfff]")  # JSON can hold half a character, which no tokenizer takes


def check_turns(turns: Sequence[Turn]) -> None:
    """Refuse a dialogue that cannot be learned from.

    Raises:
        BadSample: the first thing that is wrong with it.
    """
    said = list(turns)
    if not any(turn.role == "assistant" for turn in said):
        raise BadSample("no-assistant-turn", f"it has {len(said)} turns, none of the assistant's")
    if not any(turn.role == "assistant" and turn.learned for turn in said):
        raise BadSample("no-assistant-turn", "all of its answers are marked as not to be learned")
    for number, turn in enumerate(said, 1):
        words = [part for part in turn.parts if isinstance(part, str)]
        shown = len(turn.parts) - len(words)
        if any(HALF.search(text) for text in words):
            raise BadSample("not-utf8", f"turn {number} ({turn.role}) contains half a character (a lone surrogate)")
        if turn.role == "assistant" and shown:
            raise BadSample("picture-in-answer", f"turn {number}")
        if turn.role != "assistant" and (left := next(filter(None, map(PLACEHOLDER.search, words)), None)):
            raise BadSample("placeholder-mismatch", f"turn {number} ({turn.role}): {left[0][:60]!r} stands for no file")
        if not shown and not any(text.strip() for text in words):
            raise BadSample("empty-turn", f"turn {number} ({turn.role}) says nothing")
    spoken = said[1:] if said[0].role == "system" else said
    expected = ("user", "assistant")
    for number, turn in enumerate(spoken):
        if turn.role != expected[number % 2]:
            place = number + 1 + len(said) - len(spoken)
            raise BadSample("wrong-order", f"turn {place} is the {turn.role}'s; expected the {expected[number % 2]}'s")
    if len(spoken) % 2:
        raise BadSample("wrong-order", "the last turn is the user's, and nobody answers")


def until_last_learned(turns: Sequence[Turn]) -> tuple[Turn, ...]:
    """The turns of a checked dialogue without those that no learned answer follows: they change nothing."""
    last = max(number for number, turn in enumerate(turns) if turn.role == "assistant" and turn.learned)
    return tuple(turns[: last + 1])
