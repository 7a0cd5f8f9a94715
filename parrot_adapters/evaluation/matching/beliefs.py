"""What others think, or thought once, and a reply turns away from: "many believe that it is a fish, but ..."."""

from __future__ import annotations

import re
from functools import lru_cache

from parrot_adapters.evaluation.matching.known_languages import known_as, known_languages, revision
from parrot_adapters.evaluation.matching.text_forms import any_phrase, lowered

__all__ = ["without_beliefs"]

REACH = 200
"""Characters of such a thought, at most."""


def without_beliefs(text: str, tag: str | None) -> str:
    """Return a cleaned reply with such thoughts blanked where more is said behind them, every other sign in its place.

    Args:
        text: Cleaned reply.
        tag: Language of the question; None where it is not known.
    """
    belief, thought = _patterns(tag and known_as(tag), revision())
    plain = lowered(text)
    if not belief.search(plain):  # as in nearly every reply
        return text
    signs = list(text)
    for found in thought.finditer(plain):
        start, end = found.span(1)
        if any(sign.isalnum() for sign in text[found.end() : found.end() + REACH]):
            signs[start:end] = " " * (end - start)
    return "".join(signs)


@lru_cache(maxsize=64)
def _patterns(known: str | None, revision: int) -> tuple[re.Pattern[str], re.Pattern[str]]:
    every = known_languages()
    entries = list(every.values()) if known is None else [every[code] for code in dict.fromkeys((known, "en"))]
    belief = any_phrase(word for entry in entries for word in entry.beliefs)
    turn = any_phrase(word for entry in entries for word in entry.turns)
    return re.compile(belief), re.compile(rf"({belief}[^.!?\n。！？؟]{{0,{REACH}}}?[.!?。！？؟]?\s*){turn}")
