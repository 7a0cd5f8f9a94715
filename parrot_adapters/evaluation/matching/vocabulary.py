"""The languages' words, compiled once into the patterns the robust matcher asks for."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from parrot_adapters.evaluation.matching.known_languages import Language, known_as, known_languages, revision
from parrot_adapters.evaluation.matching.text_forms import any_of, clean, fold, script

__all__ = ["Vocabulary", "vocabulary"]

LONGEST_RUN = 40
WORD_EDGE = r"[^\W_]"


class Vocabulary:
    """Answer words of every language at once (a model may reply in any); of ``language``, its one-letter words."""

    def __init__(self, language: str | None) -> None:
        every = known_languages()
        # A letter such as "A" or "E" is a word in some languages only: ask the row's own, and English.
        own = list(every.values()) if language is None else [every[c] for c in (language, "en") if c in every]
        self.answer = _pattern((p for entry in every.values() for p in entry.answer), every.values())
        self.conclusion = _pattern((p for entry in every.values() for p in entry.conclusions), every.values())
        self.affirmation = _pattern((p for entry in every.values() for p in entry.affirmations), every.values())
        # Of lower-case text: where a letter has one case only, the alternatives are told apart by their first one.
        cues = (p for entry in every.values() for p in (*entry.answer, *entry.affirmations, *entry.conclusions))
        self.lower_cue = _pattern((p.lower() for p in cues), every.values(), flags=0)
        self.correction = _pattern((p for entry in own for p in entry.corrections), own)
        # In folded text; what only sounds like a "not" is taken out beforehand.
        # Of English, words that are no small word of the language: "no" is one of Portuguese.
        small = {*own[0].fillers, *own[0].articles, *own[0].relations} if own else set()
        self.negation = re.compile(any_of(p for entry in own for p in entry.negations if p not in small))
        self.rejected = re.compile(any_of(p for entry in own for p in (*entry.no, *entry.denials, *entry.negations)))
        self.accepted = re.compile(any_of(p for entry in own for p in (*entry.yes, *entry.affirmations)))
        self.exclusion = re.compile(any_of(p for entry in own for p in entry.exclusions))
        self.option = _pattern((p for entry in every.values() for p in entry.option), every.values())
        self.answer_words = _folded(p for entry in every.values() for p in (*entry.answer, *entry.option))
        self.option_words = _folded(p for entry in every.values() for p in entry.option)
        self.fillers = _folded(p for entry in every.values() for p in (*entry.fillers, *entry.option))
        self.adverbs = tuple(p for entry in own for p in entry.adverbs)
        longest_first = sorted(map(re.escape, self.fillers), key=len, reverse=True)
        self.filler_run = re.compile(f"(?:{'|'.join(longest_first)})+")
        self.negations = _folded(p for entry in every.values() for p in entry.negations)
        self.joiners = _folded(p for entry in every.values() for p in entry.joiners)
        self.refusals = _folded(p for entry in every.values() for p in entry.refusals)
        self.yes, self.no = (_folded(p for entry in own for p in getattr(entry, name)) for name in ("yes", "no"))
        self.articles = _folded(p for entry in own for p in entry.articles)
        self.small = frozenset(p.lower() for entry in own for p in (*entry.joiners, *entry.articles))
        self.words = {clean(w).upper() for entry in own for w in entry.words}
        self.prefixes = _folded(p for entry in own for p in entry.prefixes)
        self.endings = _folded(p for entry in own for p in entry.endings)
        self.inflections = _folded(p for entry in own for p in entry.inflections)
        self.infinitives = tuple(fold(p) for entry in own for p in entry.infinitives)
        self.cases = sorted(_folded(p for entry in own for p in entry.cases), key=len, reverse=True)
        self.relations = _folded(p for entry in own for p in entry.relations)
        self.places = _folded(p for entry in own for p in entry.places)
        self.denials = _folded(p for entry in own for p in entry.denials)
        negated = "|".join(sorted({p for entry in own for p in entry.negated}))
        self.negated = re.compile(negated) if negated else None
        self.absence = _pattern((p for entry in own for p in entry.absences), every.values())
        self.alternative = _pattern((p for entry in own for p in entry.alternatives), every.values())
        self.opening = _pattern((p for entry in own for p in entry.openings), every.values())
        self.turn = _pattern((p for entry in own for p in entry.turns), every.values())
        hedged = (p for entry in own for p in (*entry.turns, *entry.hedges))
        self.turn_or_hedge = _pattern(hedged, every.values())
        self.suffixing = language is None or (language in every and every[language].suffixing)
        self.inflecting = language is not None and language in every and every[language].inflecting
        self.alphabet = own[0].alphabet if language is not None and own else ""
        self.labels: dict[str, str] = {}
        for entry in [*own, *every.values()]:
            for sign, letter in entry.labels.items():
                self.labels.setdefault(clean(sign).upper(), letter)

    def is_small(self, word: str) -> bool:
        """True for a word that says little of an option: an article, "is", "and", "not", "on"."""
        kinds = (self.articles, self.fillers, self.joiners, self.relations, self.negations)
        return any(word in kind for kind in kinds)

    def is_filler(self, word: str) -> bool:
        """True for a word, or a run of unspaced words, that may stand between "answer" and its letter."""
        folded = fold(word)
        if len(folded) > LONGEST_RUN:
            return False
        if self.adverbs and folded.endswith(self.adverbs):
            return True
        return folded in self.fillers or self.filler_run.fullmatch(folded) is not None


def vocabulary(tag: str | None) -> Vocabulary:
    """Return the compiled vocabulary of a language; of none in particular where its tag is None or not known.

    Args:
        tag: Language tag of the question; a region is left out where only the language is known.
    """
    return _compiled(tag and (known_as(tag) or tag), revision())


@lru_cache(maxsize=64)
def _compiled(language: str | None, revision: int) -> Vocabulary:
    return Vocabulary(language)


def _folded(phrases: Iterable[str]) -> frozenset[str]:
    return frozenset(fold(p) for p in phrases if p)


def _pattern(phrases: Iterable[str], entries: Iterable[Language], flags: int = re.IGNORECASE) -> re.Pattern[str]:
    """Any of the phrases in cleaned text, as whole words where the script writes spaces, glued prefixes allowed."""
    glued = sorted({clean(p) for entry in entries for p in entry.prefixes}, key=len, reverse=True)
    starts = rf"(?<!{WORD_EDGE})(?={WORD_EDGE})"
    before = rf"{starts}(?:{'|'.join(map(re.escape, glued))})?" if glued else starts
    spaced: list[str] = []
    unspaced: list[str] = []
    for phrase in sorted({clean(p) for p in phrases}, key=len, reverse=True):
        words = r"\s+".join(map(re.escape, phrase.split()))
        (spaced if _is_spaced(phrase) else unspaced).append(words)
    choices = [rf"{before}(?:{'|'.join(spaced)})(?!{WORD_EDGE})", *unspaced]
    return re.compile("|".join(choices), flags)


def _is_spaced(phrase: str) -> bool:
    return script(phrase[0]) not in ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR")
