"""The language that a reply is written in, where nobody says which it is: by its letters, then by its words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import fields
from functools import lru_cache

from parrot_adapters.evaluation.matching.known_languages import known_languages, revision
from parrot_adapters.evaluation.matching.language_words import Language
from parrot_adapters.evaluation.matching.text_forms import fold, script

__all__ = ["written_in"]

TOLD = 0.6
"""How much of a word that no other language has must speak for a language."""


def written_in(text: str) -> str | None:
    """The known language that a text seems to be written in, or None where nothing tells.

    >>> written_in("我选第三个选项。"), written_in("A resposta é o gato."), written_in("B.")
    ('zh', 'pt', None)
    """
    used = Counter(script(letter) for letter in text if letter.isalpha())
    if not used:
        return None
    known = known_languages()
    main = used.most_common(1)[0][0]
    others = {name for name in used if name != "LATIN"} or {main}
    fitting = [code for code, language in known.items() if main in language.scripts and others <= {*language.scripts}]
    if not fitting:
        return None
    if main != "LATIN":  # kana or Hangul tell Japanese and Korean; ideographs alone are Chinese
        fewest = min(len(known[code].scripts) for code in fitting)
        fitting = [code for code in fitting if len(known[code].scripts) == fewest]
    return fitting[0] if len(fitting) == 1 else _by_words(text, tuple(fitting))


def _by_words(text: str, candidates: tuple[str, ...]) -> str | None:
    """Each word speaks for the languages that have it, the less the more they are."""
    heard, owners = dict.fromkeys(candidates, 0.0), _owners(candidates, revision())
    for word in {*fold(text).split()}:
        for code in owners.get(word, ()):
            heard[code] += 1 / len(owners[word])
    best, second = sorted(candidates, key=heard.__getitem__, reverse=True)[:2]
    return best if heard[best] >= TOLD and heard[best] > heard[second] else None


@lru_cache(maxsize=16)
def _owners(candidates: tuple[str, ...], revision: int) -> Mapping[str, tuple[str, ...]]:
    """Languages by the words that they have."""
    known = known_languages()
    words = {code: {word for phrase in _phrases(known[code]) for word in fold(phrase).split()} for code in candidates}
    return {word: tuple(code for code in candidates if word in words[code]) for word in set().union(*words.values())}


def _phrases(language: Language) -> list[str]:
    given = (getattr(language, entry.name) for entry in fields(language) if entry.name not in PARTS)
    return [form for value in given if isinstance(value, tuple) for phrase in value for form in phrase.split("/")]


PARTS = {"scripts", "adverbs", "negated", "prefixes", "endings", "inflections", "infinitives", "cases"}
PARTS |= {"duals", "nothing", "hundreds", "number_joiners", "number_endings", "ordinals", "last", "synonyms"}
PARTS |= {"hours", "hours_begun", "hour_parts", "clocks", "shares"}
"""Fields that hold no whole words, or several in one."""
