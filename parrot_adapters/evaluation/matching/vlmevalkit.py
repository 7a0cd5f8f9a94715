"""How the field's harness reads a reply, reproduced to the letter, faults included.

Three steps, in this order, decide a reply: a lone option letter, (from 2026) the phrase "answer is X", and an
option's text inside the reply. The faults are listed, and mended, in :mod:`parrot_adapters.evaluation.matching.robust`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from parrot_adapters.evaluation.benchmark.protocols import Protocol

__all__ = ["reference_choice"]

API_FAILURE = "Failed to obtain answer via API"
REFUSALS = (
    "Sorry, I can't help with images of people yet.",
    "I can't process this file.",
    "I'm sorry, but without the image provided",
    "Cannot determine the answer",
)
SEPARATORS = str.maketrans(dict.fromkeys(".()[],:;!*#{}", " "))
# No boundary before or after the letter: "the answer is cat" names C. Only A to D are known to it.
ANSWER_IS = re.compile(r"answer\s+is\s+\**([ABCD])", re.IGNORECASE)
TAIL = 4


def reference_choice(prediction: str, options: Mapping[str, object], protocol: Protocol) -> str | None:
    """The option letter, ``Z`` for a refusal, or None where the harness finds nothing.

    Option texts may be numbers, as the harness's table reader makes them; they are compared as ``str`` prints them.
    """
    return _by_letter(prediction, options, protocol) or _by_text(prediction, options, protocol)


def _by_letter(prediction: str, options: Mapping[str, object], protocol: Protocol) -> str | None:
    if API_FAILURE in prediction:
        return None
    if any(refusal in prediction for refusal in REFUSALS):
        return "Z"
    tokens = prediction.translate(SEPARATORS).split()
    named = [letter for letter in options if letter in tokens]
    if not named and "Z" in tokens:
        return "Z"
    if len(named) == 1:
        (letter,) = named
        if not protocol.tail_only or tokens.index(letter) >= len(tokens) - TAIL:
            return letter
    if protocol.answer_is:
        found = ANSWER_IS.search(prediction)
        if found and found[1].upper() in options:
            return found[1].upper()
    return None


def _by_text(prediction: str, options: Mapping[str, object], protocol: Protocol) -> str | None:
    reply = prediction.lower()
    texts = {letter: str(text) for letter, text in options.items()}
    if protocol.tail_only and len(reply) > 2 * sum(map(len, texts.values())):
        return None
    inside = [letter for letter, text in texts.items() if text.lower() in reply]
    return inside[0] if len(inside) == 1 else None
