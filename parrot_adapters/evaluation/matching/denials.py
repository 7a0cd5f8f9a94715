"""Letters and options that a reply names only to reject them: "not A, but B", "B is wrong", "C değil".

They are blanked before the reply is read, so that no later question can take them for the answer. What stands between a
"not" and what it rejects may be fillers of the language ("is", "the", "letter") and nothing else: a wider reach would
blank what is meant.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache

from parrot_adapters.evaluation.matching.languages import Language, known_as, known_languages, revision
from parrot_adapters.evaluation.matching.text_forms import UNSPACED, clean, script

__all__ = ["without_denied"]

BETWEEN = 4
"""Fillers between a "not" and what it rejects, at most."""
ENDING = r"[^\W\d_]{0,3}"
"""What an option's word may end in and still be it."""


def without_denied(text: str, options: Mapping[str, str], tag: str | None) -> str:
    """Return a cleaned reply with what it rejects blanked, every other character in its place.

    Args:
        text: Reply, as :func:`~parrot_adapters.evaluation.matching.text_forms.clean` leaves it.
        options: Option texts by letter.
        tag: Language of the question; None where it is not known.
    """
    known = tag and known_as(tag)
    if not _denial(known, revision()).search(text):  # as in nearly every reply
        return text
    for pattern in _patterns(tuple(options.items()), known, revision()):
        text = pattern.sub(lambda found: " " * len(found[0]), text)
    return text


def _spoken(known: str | None) -> list[Language]:
    """The languages a reply may be in: the question's own and English; all, where that is not known."""
    every = known_languages()
    return list(every.values()) if known is None else [every[code] for code in dict.fromkeys((known, "en"))]


@lru_cache(maxsize=64)
def _denial(known: str | None, revision: int) -> re.Pattern[str]:
    return re.compile(
        _any(word for entry in _spoken(known) for word in (*entry.negations, *entry.denials)), re.IGNORECASE
    )


@lru_cache(maxsize=512)
def _patterns(options: tuple[tuple[str, str], ...], known: str | None, revision: int) -> tuple[re.Pattern[str], ...]:
    languages = _spoken(known)
    before = _any(word for entry in languages for word in entry.negations)
    behind = _any(word for entry in languages for word in entry.denials)
    joiner = _any(word for entry in languages for word in entry.joiners)
    filler = _any(
        word for entry in languages for word in (*entry.fillers, *entry.articles, *entry.option) if word.isalpha()
    )
    letters = "".join(letter for letter, _ in options)
    thing = rf"(?:(?-i:(?<![A-Za-z])[{letters}](?![A-Za-z]))|{_any((text for _, text in options), ENDING)})"
    run = rf"(?:{filler}\s*){{0,{BETWEEN}}}"
    several = rf"{thing}(?:(?:\s*[,、،]\s*{thing})*\s*[,、،]?\s*{joiner}\s*{run}{thing})?"
    rejected = rf"{before}\s*{run}{thing}(?:\s*{joiner}\s*{run}{thing})*"
    return tuple(re.compile(p, re.IGNORECASE) for p in (rf"{several}['’]?\s*{run}{behind}", rejected))


def _any(phrases: Iterable[str], ending: str = "") -> str:
    """Any of some phrases, as whole words where their script writes spaces; the longest first."""
    spaced: list[str] = []
    unspaced: list[str] = []
    for phrase in sorted({clean(phrase).strip() for phrase in phrases} - {""}, key=len, reverse=True):
        words = r"\s+".join(map(re.escape, phrase.split()))
        # Korean glues particles to the word before them, so what opens with one opens no word.
        glued = script(phrase[0]).startswith((*UNSPACED, "HANGUL"))
        (unspaced if glued else spaced).append(words)
    parts = [*unspaced]
    if spaced:
        parts.append(rf"(?<![^\W_])(?:{'|'.join(spaced)}){ending}(?![^\W_])")
    return f"(?:{'|'.join(parts)})" if parts else r"(?!)"
