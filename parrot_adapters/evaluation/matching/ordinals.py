"""Options named by their place: "the third option", "第三个选项", "الخيار الثالث"."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

from parrot_adapters.evaluation.matching.languages import known_as, known_languages, revision
from parrot_adapters.evaluation.matching.text_forms import any_of, fold

__all__ = ["ORDINALS", "place_named"]

ORDINALS = {
    "en": "first/1st second/2nd third/3rd fourth/4th fifth/5th sixth/6th",
    "zh": "第一个/第一/第1个/第1 第二个/第二/第2个/第2 第三个/第三/第3个/第3 "
    "第四个/第四/第4个/第4 第五个/第五/第5个/第5",
    "pt": "primeir+a/o/as/os segund+a/o/as/os terceir+a/o/as/os quart+a/o/as/os quint+a/o/as/os",
    "ar": "الأول/الأولى/أول/أولى الثاني/الثانية/ثاني/ثانية الثالث/الثالثة/ثالث/ثالثة الرابع/الرابعة/رابع/رابعة "
    "الخامس/الخامسة/خامس/خامسة",
    "tr": "birinci+/si/sidir/dir/yi/sini ikinci+/si/sidir/dir/yi/sini üçüncü+/sü/südür/dür/yü/sünü "
    "dördüncü+/sü/südür/dür/yü/sünü beşinci+/si/sidir/dir/yi/sini",
    "ru": "перв+ый/ая/ое/ого/ой/ому/ым/ом/ую втор+ой/ая/ое/ого/ому/ым/ом/ую треть+я/е/его/ей/ему/им/ем/ю|третий "
    "четверт+ый/ая/ое/ого/ой/ому/ым/ом/ую пят+ый/ая/ое/ого/ой/ому/ым/ом/ую",
    "es": "primer+a/o segund+a/o tercer+a/o cuart+a/o quint+a/o",
    "fr": "première/premier deuxième/seconde troisième quatrième cinquième",
    "de": "erst+e/en zweit+e/en dritt+e/en viert+e/en fünft+e/en",
    "it": "prim+a/o second+a/o terz+a/o quart+a/o quint+a/o",
    "ja": "一番目 二番目 三番目 四番目 五番目",
    "ko": "첫번째/첫_번째 두번째/두_번째 세번째/세_번째 네번째/네_번째",
    "id": "pertama kedua ketiga keempat kelima",
}
"""Words for the first, second, ... by language; other forms of one place behind a slash, ``_`` for a space; behind a
plus endings of what stands before it, ``|`` before a form that has another stem."""
LAST = {
    "en": "last/final",
    "zh": "最后一个/最后",
    "pt": "últim+a/o",
    "ar": "الأخير/الأخيرة",
    "tr": "sonuncu/sonuncusu/sonuncusudur/son",
    "ru": "последн+ий/яя/ее/его/ей/ему/им/ем/юю",
    "es": "últim+a/o",
    "fr": "dernière/dernier",
    "de": "letzt+e/en",
    "it": "ultim+a/o",
    "ja": "最後",
    "ko": "마지막",
    "id": "terakhir",
}
"""Words for the last one, likewise."""


DENIED = 40
"""Characters before a place in which it may be denied."""
ONE = ("one",)
"""What may stand for "option" in a reply that is nothing else: "the second one"."""


def place_named(reply: str, letters: Sequence[str], tag: str | None) -> str | None:
    """Return the one option that a reply names by its place, a word for "option" beside it.

    Args:
        reply: What was said, without what it rejects.
        letters: Letters of the options, in their order.
        tag: Language of the question.
    """
    language = (tag and known_as(tag)) or "en"
    denied, behind, beside, alone, bare, places = _patterns(language, revision())
    said = fold(reply)
    whole = alone.fullmatch(said)

    def affirmed(pattern: re.Pattern[str]) -> Iterator[re.Match[str]]:
        for match in pattern.finditer(said):
            before = said[max(0, match.start() - DENIED) : match.start()]
            if not denied.search(before) and not behind.match(said, match.end()):
                yield match

    found = {places[next(word for word in match.groups() if word)] for match in affirmed(beside)}
    if len({places[match[0]] for match in affirmed(bare)}) > 1:  # "the second or the third option"
        return None
    if whole is not None:
        found.add(places[whole[1]])
    return letters[found.pop()] if len(found) == 1 and max(found) < len(letters) else None


def _forms(entry: str) -> list[str]:
    """ "перв+ый/ая|раз" is первый, первая and раз."""
    found: list[str] = []
    for part in entry.split("|"):
        stem, plus, endings = part.partition("+")
        found += [stem + ending for ending in endings.split("/")] if plus else stem.split("/")
    return [fold(form.replace("_", " ")) for form in found if form]


class _Places(NamedTuple):
    """A "not" that ends in front of a place; an "is wrong" behind it; a place beside "option"; a reply that is one;
    any; which a word is."""

    denied: re.Pattern[str]
    behind: re.Pattern[str]
    beside: re.Pattern[str]
    alone: re.Pattern[str]
    anywhere: re.Pattern[str]
    places: dict[str, int]


@lru_cache(maxsize=64)
def _patterns(language: str, revision: int) -> _Places:
    places = {form: place for place, entry in enumerate(ORDINALS.get(language, "").split()) for form in _forms(entry)}
    places |= dict.fromkeys(_forms(LAST.get(language, "")), -1)
    entry = known_languages().get(language)
    options = [fold(word) for word in (*entry.option, *ONE)] if entry is not None else []
    if entry is None or not places or not options:
        never = re.compile("(?!)")
        return _Places(never, never, never, never, never, places)
    ordinal, option = any_of(places), any_of(entry.option)
    answer = any_of(entry.answer)
    filler = any_of((*entry.fillers, *entry.articles, *options))
    between = rf"[\s:,.\-—*\"']*(?:{filler}[\s:,.\-—*\"']*){{0,3}}"
    beside = rf"({ordinal})\s*{option}|{option}\s*({ordinal})|{answer}{between}({ordinal})(?!\s*(?!{filler})\w)"
    negation = any_of(entry.negations)
    denied, alone = rf"{negation}\s*(?:{filler}\s*){{0,3}}$", rf"{between}({ordinal}){between}"
    behind = rf"\s*(?:{option}\s*)?{any_of(entry.denials)}"
    found = [re.compile(pattern) for pattern in (denied, behind, beside, alone, ordinal)]
    return _Places(found[0], found[1], found[2], found[3], found[4], places)
