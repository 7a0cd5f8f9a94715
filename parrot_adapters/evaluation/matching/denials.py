"""Letters and options that a reply names only to reject them: "not A, but B", "B is wrong", "C değil", "at first A".

They are blanked before the reply is read, so that no later question can take them for the answer. What stands between a
"not" and what it rejects may be fillers of the language ("is", "the", "letter") and nothing else: a wider reach would
blank what is meant.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache

from parrot_adapters.evaluation.matching.known_languages import Language, known_as, known_languages, revision
from parrot_adapters.evaluation.matching.option_text import EDGES, stem
from parrot_adapters.evaluation.matching.text_forms import LATIN, any_phrase, clean, fold, lowered

__all__ = ["without_denied"]

MARK = re.compile("[?؟]")
QUESTION = re.compile(r"[^.!?;\n。！？؟]*$")
"""A sentence up to its question mark; with several options in it, it weighs them: "B or C?"."""
ASKED = 200
"""Characters of a question, at most."""
QUESTIONS = 64
"""Questions that are looked at, from the end."""
BETWEEN = 4
"""Fillers between a "not" and what it rejects, at most."""
LISTED = 8
"""Letters in a row that are rejected together, at most."""
THOUGHT = 120
"""Characters of a first thought, at most."""
GAP = r"[^\S\n]"
"""What may stand between words of one line."""
ENDING = r"[^\W\d_]{0,3}"
"""What an option's word may end in and still be it."""


def without_denied(text: str, options: Mapping[str, str], tag: str | None, names: Iterable[str] = ()) -> str:
    """Return a cleaned reply with what it rejects blanked, every other character in its place.

    Args:
        text: Reply, as :func:`~parrot_adapters.evaluation.matching.text_forms.clean` leaves it.
        options: Option texts by letter.
        tag: Language of the question; None where it is not known.
        names: Other words for the options.
    """
    known = tag and known_as(tag)
    plain = _certain(known, revision()).sub(lambda found: " " * len(found[0]), lowered(text))
    if not _denial(known, revision()).search(plain):  # as in nearly every reply
        return text
    thing, first_thought, granted, *patterns = _patterns(tuple(options.items()), tuple(names), known, revision())
    thoughts = [found for found in first_thought.finditer(plain) if any(c.isalnum() for c in text[found.end() :])]
    plain = _blanked(plain, (span for thought in thoughts for span in _spans(thing, plain, *thought.span())))
    for pattern in patterns:
        plain = _blanked(plain, _spans(pattern, plain))
    plain = _blanked(plain, _set_aside(thing, granted, plain))
    return "".join(shown if kept != " " else " " for shown, kept in zip(text, plain, strict=True))


def _set_aside(thing: re.Pattern[str], granted: re.Pattern[str], plain: str) -> list[tuple[int, int]]:
    """The letters and options in clauses that only grant something, and in questions that weigh several; none where
    that is all that was said."""
    spans = {span for clause in granted.finditer(plain) for span in _spans(thing, plain, *clause.span())}
    for mark in list(MARK.finditer(plain))[-QUESTIONS:]:
        asked = QUESTION.search(plain[max(0, mark.start() - ASKED) : mark.start()])
        weighed = _spans(thing, plain, mark.start() - len(asked[0]) if asked else mark.start(), mark.start())
        spans |= set(weighed) if len(weighed) > 1 else set()
    within: list[tuple[int, int]] = []
    for span in sorted(spans):
        if not within or span[0] >= within[-1][1]:
            within.append(span)
    return within if len(within) < len(_spans(thing, plain)) else []


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


def _words(languages: list[Language], kind: str) -> list[str]:
    """Words of a kind, the question's language first; of English those that are no small word of that language, as "no"
    is of Portuguese."""
    own, *others = languages
    small = {*own.fillers, *own.articles, *own.relations}
    return [*getattr(own, kind), *(word for entry in others for word in getattr(entry, kind) if word not in small)]


@lru_cache(maxsize=64)
def _certain(known: str | None, revision: int) -> re.Pattern[str]:
    """Phrases with a "not" that deny nothing: "no doubt"."""
    return re.compile(any_phrase(_words(_spoken(known), "certainties")))


@lru_cache(maxsize=64)
def _denial(known: str | None, revision: int) -> re.Pattern[str]:
    kinds = (
        *("negations", "direct_negations", "denials", "exclusions", "impressions", "seemings", "concessions"),
        *("concessions_behind", "no"),
    )
    languages = _spoken(known)
    words = (word for kind in kinds for word in _words(languages, kind))
    return re.compile(any_phrase(words) + "|[?؟]")


@lru_cache(maxsize=512)
def _patterns(
    options: tuple[tuple[str, str], ...], names: tuple[str, ...], known: str | None, revision: int
) -> tuple[re.Pattern[str], ...]:
    """A letter or option; a first thought up to where it is given up; a clause that only grants something; what is
    rejected, in three ways."""
    languages = _spoken(known)
    kinds = ("negations", "denials", "exclusions", "impressions", "turns", "joiners", "concessions", "seemings", "no")
    before, behind, out, first, turn, joiner, grants, seem, no = (any_phrase(_words(languages, kind)) for kind in kinds)
    filler = any_phrase(
        word for entry in languages for word in (*entry.fillers, *entry.articles, *entry.option) if word.isalpha()
    )
    prefixes = sorted((clean(p) for entry in languages for p in entry.prefixes), key=len, reverse=True)
    letters = "".join(letter for letter, _ in options)
    texts = [*(text for _, text in options if text), *names]
    texts += [text.capitalize() for text in texts if text[1:2] == " "]  # "A cat is not there" begins with no letter
    turned = [bare for text in texts if (bare := stem(fold(text).strip(EDGES)))] if languages[0].inflecting else []
    signs = "".join(
        sign for sign, letter in languages[0].labels.items() if letter in letters and len(clean(sign)) == 1 and known
    )
    own = rf"|(?<![^\W_])و?[{re.escape(clean(signs))}](?![^\W_])" if signs else ""
    thing = rf"(?:{any_phrase([*texts, *turned], ENDING, prefixes)}|(?<![{LATIN}])[{letters}](?![{LATIN}]){own})"
    its_text = rf"(?:{GAP}*+(?:[(:]|[)\-]{GAP}){GAP}*+{any_phrase(texts, ENDING, prefixes)})?"  # "not A (dog)"
    thing_whole = rf"{thing}{its_text}"
    run = rf"(?:{filler}{GAP}*+){{0,{BETWEEN}}}"
    comma = rf"(?:{GAP}*+[,、،]{GAP}*+|{GAP}++(?=و))"  # Arabic glues its "and" to what follows
    listed = rf"(?:{comma}{thing_whole}){{0,{LISTED}}}"
    joined = rf"(?:(?:{comma}|{GAP}*+{joiner}{GAP}*+){thing_whole}){{0,{LISTED}}}"
    last = rf"{GAP}*+[,、،]?{GAP}*+{joiner}{GAP}*+{run}{thing_whole}"
    enumerated = rf"(?:{GAP}*+、{GAP}*+{thing_whole}){{0,{LISTED}}}"
    three = rf"(?:{comma}{thing_whole}){{2,{LISTED}}}"  # "A, B, C are wrong"; "I pick A, B is wrong" has two only
    glued = rf"(?:{GAP}++(?=و){thing_whole})+"
    several = rf"{thing_whole}(?:{listed}{last}|{three}|{GAP}*+、{GAP}*+{thing_whole}{enumerated}|{glued})?"
    answers = {fold(word) for entry in languages for word in (*entry.yes, *entry.no)}
    says_so = any(fold(text) in answers for _, text in options)  # "是" and "不是"
    direct = "(?!)" if says_so else any_phrase(_words(languages, "direct_negations"))
    rejected = rf"(?:{before}{GAP}*+{run}|{direct}){thing_whole}{enumerated}(?:{listed}{last})?"
    excluded = rf"{out}{GAP}*+{run}{thing_whole}{joined}(?:{last})?"
    # "Not C. A neither.", "B? No": but where "no" is an option, it stands behind its letter
    says_no = re.compile(rf"{before}|{no}")
    refused = rf"{several}(?:{GAP}*+{run}{before}{GAP}*+(?=[.;,!?。；，！]|\n|$)|{GAP}*+[?？؟]{GAP}*+{no})"
    refused = "(?!)" if any(says_no.fullmatch(lowered(clean(text)).strip()) for _, text in options) else refused
    aside = rf"[^\n.!?;。！？；]{{0,{THOUGHT}}}?"
    thought = rf"(?:{first}{aside}(?:{turn}|[.!?;。！？；])|{seem}{aside}{turn})"
    clause = r"[^\n,.!?;，。！？；،؛]"
    behind_it = any_phrase(_words(languages, "concessions_behind"))
    granted = rf"{grants}{clause}{{0,{THOUGHT}}}|(?<!{clause}){clause}{{1,{THOUGHT}}}?{behind_it}"
    everything = (thing, thought, granted, refused, excluded, rf"{several}['’]?{GAP}*+{run}{behind}", rejected)
    return tuple(re.compile(p) for p in everything)
