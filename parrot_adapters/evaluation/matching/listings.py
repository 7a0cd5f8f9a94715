"""What a reply repeats of the question: a recital of all options, and the numbers of its own steps. Neither answers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

from parrot_adapters.evaluation.matching.text_forms import UNSPACED, clean, script

__all__ = ["without_recital", "without_step_numbers"]

STEP = re.compile(r"(?m)^[^\w\n]{0,8}([1-9][0-9]?)[.)、:]")
BETWEEN = r"[\s,;/|、，；。.*\-•:)(\]\[]{0,12}"
LONGEST = 4000
"""Characters of all options together, at most."""


def without_recital(text: str, options: Mapping[str, str], small: frozenset[str]) -> str:
    """Return a cleaned reply with every recital of all options in their order blanked, where more is said than that.

    Args:
        text: Cleaned reply.
        options: Option texts by letter.
        small: Words that may stand between two of them: "or", articles.
    """
    texts = tuple((letter, clean(option).strip().lower()) for letter, option in options.items())
    if len(texts) < 3 or not all(option for _, option in texts) or sum(len(x) for _, x in texts) > LONGEST:
        return text
    lower = text.replace("İ", "i").lower()
    if any(option not in lower for _, option in texts):
        return text
    found = [recital.span() for recital in _recital(texts, small).finditer(lower)]
    blanked = text
    for start, end in found:
        blanked = blanked[:start] + " " * (end - start) + blanked[end:]
    return blanked if any(c.isalnum() for c in blanked) else text


@lru_cache(maxsize=256)
def _recital(texts: tuple[tuple[str, str], ...], small: frozenset[str]) -> re.Pattern[str]:
    items = [rf"(?:[(\[]?{letter.lower()}[).:\]、]*\s*)?{re.escape(text)}" for letter, text in texts]
    words = "|".join(map(re.escape, sorted(small, key=len, reverse=True))) or "(?!)"
    unspaced = script(texts[0][1][0]).startswith(UNSPACED)
    joiner = rf"(?:{words})?" if unspaced else rf"(?:(?:{words})\s+){{0,2}}"
    return re.compile(("" if unspaced else r"(?<!\w)") + rf"{BETWEEN}{joiner}".join(items) + r"[)\]]?")


def without_step_numbers(text: str) -> str:
    """Return a cleaned reply with the numbers of its list blanked where it has a step 1 and a step 2.

    Args:
        text: Cleaned reply.
    """
    numbers = {number[1] for number in STEP.finditer(text)}
    if not {"1", "2"} <= numbers:
        return text
    return STEP.sub(lambda step: step[0].replace(step[1] + step[0][-1], " " * (len(step[1]) + 1)), text)
