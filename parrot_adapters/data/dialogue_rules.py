"""What every dialogue must be, whatever its format: somebody asks, the assistant answers last, nobody is silent."""

from __future__ import annotations

import re
from collections.abc import Sequence

from parrot_adapters.data.dialogue import Turn
from parrot_adapters.data.problems import BadSample

__all__ = ["check_turns", "until_last_learned"]

MEDIUM = "(?:image|img|picture|photo|video|vid|audio|sound|speech|frame|vision)"
BESIDE = r"(?:start|begin|end|of|around|fake|soft|here|tokens?|pad|place[_ -]?holder|context|patch|break|s|\d)"
PLACEHOLDER = re.compile(
    rf"<\|?[\s_-]*(?:{BESIDE}[\s_-]*)*{MEDIUM}[\s_-]*(?:{BESIDE}[\s_-]*)*/?\|?>(?:[^<>\n]*</(?:img|image)>)?"
    rf"|<{MEDIUM}\s[^<>\n]*?\bsrc(?:set)?\s*="
    r"|!\[[^\[\]\n]*\]\([^()\s]"
    r"|(?-i:\[IMG(?:_BREAK|_END)?\])"
    r"|data:(?:image|video|audio)/[\w.+-]+;base64,",
    re.IGNORECASE,
)
"""What stands for a picture, video or recording: a word for one in angle brackets, alone or with the words of its
trade (``<image_1>``, ``<|vision_start|>``, ``<image_soft_token>``), ``<img>path</img>``, HTML, Markdown, a data URL."""
IN_ANSWERS = re.compile(
    "<(?:image|video)>"
)  # what training files write; an answer about a web page may have the others
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
        sign = IN_ANSWERS if turn.role == "assistant" else PLACEHOLDER
        if left := next(filter(None, map(sign.search, words)), None):
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
