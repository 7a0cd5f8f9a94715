"""Options named by their place: "the third option", "第三个选项", "الخيار الثالث"."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from parrot_adapters.evaluation.matching.languages import known_as, known_languages, revision
from parrot_adapters.evaluation.matching.text_forms import UNSPACED, fold, script

__all__ = ["ORDINALS", "place_named"]

ORDINALS = {
    "en": "first second third fourth fifth sixth",
    "zh": "第一个/第一 第二个/第二 第三个/第三 第四个/第四 第五个/第五",
    "pt": "primeira/primeiro segunda/segundo terceira/terceiro quarta/quarto quinta/quinto",
    "ar": "الأول/الأولى الثاني/الثانية الثالث/الثالثة الرابع/الرابعة الخامس/الخامسة",
    "tr": "birinci ikinci üçüncü dördüncü beşinci",
    "ru": "первый/первая второй/вторая третий/третья четвертый/четвертая пятый/пятая",
    "es": "primera/primero segunda/segundo tercera/tercero cuarta/cuarto quinta/quinto",
    "fr": "première/premier deuxième/seconde troisième quatrième cinquième",
    "de": "erste/ersten zweite/zweiten dritte/dritten vierte/vierten fünfte/fünften",
    "it": "prima/primo seconda/secondo terza/terzo quarta/quarto quinta/quinto",
    "ja": "一番目 二番目 三番目 四番目 五番目",
    "ko": "첫번째/첫 번째 두번째/두 번째 세번째/세 번째 네번째/네 번째",
    "id": "pertama kedua ketiga keempat kelima",
}
"""Words for the first, second, ... by language; other forms of one place behind a slash."""


def place_named(reply: str, letters: Sequence[str], tag: str | None) -> str | None:
    """Return the one option that a reply names by its place, a word for "option" beside it.

    Args:
        reply: What was said, without what it rejects.
        letters: Letters of the options, in their order.
        tag: Language of the question.
    """
    language = (tag and known_as(tag)) or "en"
    named, bare, places = _patterns(language, revision())
    said = fold(reply)
    found = {places[next(word for word in match.groups() if word)] for match in named.finditer(said)}
    if len({places[word] for word in bare.findall(said)}) > 1:  # "the second or the third option"
        return None
    return letters[found.pop()] if len(found) == 1 and max(found) < len(letters) else None


@lru_cache(maxsize=64)
def _patterns(language: str, revision: int) -> tuple[re.Pattern[str], re.Pattern[str], dict[str, int]]:
    """Places beside a word for "option", places anywhere, and which place each word is."""
    forms = [entry.split("/") for entry in re.split(r"(?<!첫|두|세|네) ", ORDINALS.get(language, ""))]
    places = {fold(form): place for place, several in enumerate(forms) for form in several if form}
    options = [fold(word) for word in known_languages()[language].option] if language in known_languages() else []
    if not places or not options:
        return re.compile("(?!)"), re.compile("(?!)"), places
    ordinal, option = _any(places), _any(options)
    return re.compile(rf"({ordinal})\s*{option}|{option}\s*({ordinal})"), re.compile(ordinal), places


def _any(words: Sequence[str] | dict[str, int]) -> str:
    listed = sorted(words, key=len, reverse=True)
    parts = [re.escape(w) if script(w[0]).startswith(UNSPACED) else rf"(?<!\w){re.escape(w)}(?!\w)" for w in listed]
    return f"(?:{'|'.join(parts)})"
