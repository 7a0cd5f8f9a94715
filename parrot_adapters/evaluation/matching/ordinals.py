"""Options named by their place: "the third option", "第三个选项", "الخيار الثالث"."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

from parrot_adapters.evaluation.matching.counts import number_words
from parrot_adapters.evaluation.matching.known_languages import Language, known_as, known_languages, revision
from parrot_adapters.evaluation.matching.text_forms import any_of, fold

__all__ = ["place_named"]

COUNTED = 6
"""Number words up to so many name an option."""
MENTIONS = 200
"""Places that are looked at, from the end."""
DENIED = 40
"""Characters before a place in which it may be denied."""
ONE = ("one",)
"""What may stand for "option" in a reply that is nothing else: "the second one"."""


def place_named(reply: str, letters: Sequence[str], tag: str | None, *, counts: bool = True) -> str | None:
    """Return the one option that a reply names by its place, a word for "option" beside it.

    Args:
        reply: What was said, without what it rejects.
        letters: Letters of the options, in their order.
        tag: Language of the question.
        counts: True where numbers name options, too: "option two".
    """
    language = (tag and known_as(tag)) or "en"
    denied, behind, beside, numbered, alone, bare, places = _patterns(language, revision())
    said = fold(reply)
    whole = alone.fullmatch(said)

    def affirmed(pattern: re.Pattern[str]) -> Iterator[re.Match[str]]:
        for match in deque(pattern.finditer(said), maxlen=MENTIONS):
            before = said[max(0, match.start() - DENIED) : match.start()]
            if not denied.search(before) and not behind.match(said, match.end()):
                yield match

    named = [*affirmed(beside), *(affirmed(numbered) if counts else ())]
    found = {places[next(word for word in match.groups() if word)] for match in named}
    if len({places[match[0]] for match in affirmed(bare)}) > 1:  # "the second or the third option"
        return None
    if whole is not None:
        found.add(places[whole[1]])
    return letters[found.pop()] if len(found) == 1 and max(found) < len(letters) else None


def _forms(entry: str) -> list[str]:
    """ "перв+ый/ая;раз" is первый, первая and раз."""
    found: list[str] = []
    for part in entry.split(";"):
        stem, plus, endings = part.partition("+")
        found += [stem + ending for ending in endings.split("/")] if plus else stem.split("/")
    return [fold(form) for form in found if form]


class _Places(NamedTuple):
    """A "not" that ends in front of a place; an "is wrong" behind it; a place beside "option"; a number behind
    it; a reply that is a place; any place; which a word is."""

    denied: re.Pattern[str]
    behind: re.Pattern[str]
    beside: re.Pattern[str]
    numbered: re.Pattern[str]
    alone: re.Pattern[str]
    anywhere: re.Pattern[str]
    places: dict[str, int]


@lru_cache(maxsize=64)
def _patterns(language: str, revision: int) -> _Places:
    entry = known_languages().get(language, Language())
    places = {form: place for place, forms in enumerate(entry.ordinals) for form in _forms(forms)}
    places |= {form: -1 - back for back, forms in enumerate(entry.last) for form in _forms(forms)}
    options = [fold(word) for word in (*entry.option, *ONE)]
    if not places or not entry.option:
        never = re.compile("(?!)")
        return _Places(never, never, never, never, never, never, places)
    ordinal, option = any_of(places), any_of(entry.option)
    answer = any_of(entry.answer)
    filler = any_of((*entry.fillers, *entry.articles, *options))
    between = rf"[\s:,.\-—*\"']*(?:{filler}[\s:,.\-—*\"']*){{0,3}}"
    beside = rf"({ordinal})\s*{option}|{option}\s*({ordinal})|{answer}{between}({ordinal})(?!\s*(?!{filler})\w)"
    beside += rf"|({ordinal})\s*{answer}\s*(?:{filler}\s*){{0,2}}{any_of(entry.affirmations)}"
    # "Option two", "вариант номер два": a number is a place only behind the word for "option".
    counted = {form: value - 1 for form, value in number_words(language, revision).items() if 0 < value <= COUNTED}
    numbered = rf"{option}\s*(?:{filler}\s*)?({any_of(counted)})"
    negation = any_of(entry.negations)
    denied, alone = rf"{negation}\s*(?:{filler}\s*){{0,3}}$", rf"{between}({ordinal}){between}"
    behind = rf"\s*(?:{option}\s*)?{any_of(entry.denials)}"
    found = [re.compile(pattern) for pattern in (denied, behind, beside, numbered, alone, ordinal)]
    return _Places(found[0], found[1], found[2], found[3], found[4], found[5], counted | places)
