"""Letters and options that a reply names only to reject them: "not A, but B", "B is wrong", "C değil", "at first A".

They are blanked before the reply is read, so that no later question can take them for the answer. What stands between a
"not" and what it rejects may be fillers of the language ("is", "the", "letter") and nothing else: a wider reach would
blank what is meant.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

from parrot_adapters.evaluation.matching.languages import Language, known_as, known_languages, revision
from parrot_adapters.evaluation.matching.text_forms import UNSPACED, clean, script

__all__ = ["without_denied"]

BETWEEN = 4
"""Fillers between a "not" and what it rejects, at most."""
LISTED = 8
"""Letters in a row that are rejected together, at most."""
THOUGHT = 120
"""Characters of a first thought, at most."""
GAP = r"[^\S\n]"
"""What may stand between words of one line."""
LATIN = "A-Za-zÀ-ÖØ-öø-ɏ"
ALONE = re.compile(rf"(?<![{LATIN}])[A-Z](?![{LATIN}])")
ENDING = r"[^\W\d_]{0,3}"
"""What an option's word may end in and still be it."""


def without_denied(text: str, options: Mapping[str, str], tag: str | None) -> str:
    """Return a cleaned reply with what it rejects blanked, every other character in its place.

    Args:
        text: Reply, as :func:`~parrot_adapters.evaluation.matching.text_forms.clean` leaves it.
        options: Option texts by letter.
        tag: Language of the question; None where it is not known.
    """
    known, plain = tag and known_as(tag), _plain(text)
    if not _denial(known, revision()).search(plain):  # as in nearly every reply
        return text
    thing, first_thought, *patterns = _patterns(tuple(options.items()), known, revision())
    thoughts = [found for found in first_thought.finditer(plain) if any(c.isalnum() for c in text[found.end() :])]
    plain = _blanked(plain, (span for thought in thoughts for span in _spans(thing, plain, *thought.span())))
    for pattern in patterns:
        plain = _blanked(plain, _spans(pattern, plain))
    return "".join(shown if kept != " " else " " for shown, kept in zip(text, plain, strict=True))


def _plain(text: str) -> str:
    """Lower case, but for letters that stand alone, each in its place: patterns that ignore case are slow."""
    lower = text.replace("İ", "i").lower()
    kept = {found.start(): found[0] for found in ALONE.finditer(text)}
    return "".join(kept.get(i, c) for i, c in enumerate(lower)) if kept else lower


def _spans(pattern: re.Pattern[str], text: str, *between: int) -> list[tuple[int, int]]:
    return [found.span() for found in pattern.finditer(text, *between)]


def _blanked(text: str, spans: Iterable[tuple[int, int]]) -> str:
    parts, done = [], 0
    for start, end in spans:
        parts += [text[done:start], " " * (end - start)]
        done = end
    return "".join([*parts, text[done:]])


def _spoken(known: str | None) -> list[Language]:
    """The languages a reply may be in: the question's own and English; all, where that is not known."""
    every = known_languages()
    return list(every.values()) if known is None else [every[code] for code in dict.fromkeys((known, "en"))]


@lru_cache(maxsize=64)
def _denial(known: str | None, revision: int) -> re.Pattern[str]:
    spoken = _spoken(known)
    return re.compile(_any(w for e in spoken for w in (*e.negations, *e.denials, *e.exclusions, *e.impressions)))


@lru_cache(maxsize=512)
def _patterns(options: tuple[tuple[str, str], ...], known: str | None, revision: int) -> tuple[re.Pattern[str], ...]:
    """A letter or option; a first thought up to where it is given up; what is rejected, in three ways."""
    languages = _spoken(known)
    before, behind, out, first, turn, joiner = (
        _any(word for entry in languages for word in getattr(entry, name))
        for name in ("negations", "denials", "exclusions", "impressions", "turns", "joiners")
    )
    filler = _any(
        word for entry in languages for word in (*entry.fillers, *entry.articles, *entry.option) if word.isalpha()
    )
    prefixes = sorted((clean(p) for entry in languages for p in entry.prefixes), key=len, reverse=True)
    letters = "".join(letter for letter, _ in options)
    thing = rf"(?:(?<![{LATIN}])[{letters}](?![{LATIN}])|{_any((text for _, text in options), ENDING, prefixes)})"
    run = rf"(?:{filler}{GAP}*+){{0,{BETWEEN}}}"
    comma = rf"{GAP}*+[,、،]{GAP}*+"
    listed = rf"(?:{comma}{thing}){{0,{LISTED}}}"
    last = rf"{GAP}*+[,、،]?{GAP}*+{joiner}{GAP}*+{run}{thing}"
    several = rf"{thing}(?:{listed}{last})?"
    rejected = rf"{before}{GAP}*+{run}{thing}(?:{listed}{last})?"
    excluded = rf"{out}{GAP}*+{run}{thing}{listed}(?:{last})?"
    thought = rf"{first}[^\n.!?;。！？；]{{0,{THOUGHT}}}?(?:{turn}|[.!?;。！？；])"
    everything = (thing, thought, excluded, rf"{several}['’]?{GAP}*+{run}{behind}", rejected)
    return tuple(re.compile(p) for p in everything)


def _any(phrases: Iterable[str], ending: str = "", prefixes: Sequence[str] = ()) -> str:
    """Any of some phrases, as whole words where their script writes spaces; the longest first."""
    spaced: list[str] = []
    unspaced: list[str] = []
    for phrase in sorted({_plain(clean(phrase).strip()) for phrase in phrases} - {""}, key=len, reverse=True):
        words = r"\s+".join(map(re.escape, phrase.split()))
        # Korean glues particles to the word before them, so what opens with one opens no word.
        glued = script(phrase[0]).startswith((*UNSPACED, "HANGUL"))
        (unspaced if glued else spaced).append(words)
    parts = [*unspaced]
    if spaced:
        glued_before = f"(?:{'|'.join(prefixes)})?" if prefixes else ""
        parts.append(rf"(?<![^\W_]){glued_before}(?:{'|'.join(spaced)}){ending}(?![^\W_])")
    return f"(?:{'|'.join(parts)})" if parts else r"(?!)"
