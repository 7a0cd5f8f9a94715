"""The one that is left where all others are rejected at once: "all but C are wrong", "D hariç hepsi yanlış"."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from functools import lru_cache

from parrot_adapters.evaluation.matching.gist import NUMERALS
from parrot_adapters.evaluation.matching.known_languages import Language, known_as, known_languages, revision
from parrot_adapters.evaluation.matching.option_text import stem
from parrot_adapters.evaluation.matching.text_forms import any_of, fold

__all__ = ["excepted_choice"]

SENTENCES = re.compile(r"[.!?。！？؟\n]+")
SCRIPTS_MEET = re.compile(r"(?<=[\u4e00-\u9fff])(?=[a-z0-9])|(?<=[a-z0-9])(?=[\u4e00-\u9fff])")
LISTED = 32
"""Sentences that are looked at, from the end."""
LONGEST = 300
"""Characters of such a sentence, at most."""


def excepted_choice(said: str, options: Mapping[str, str], tag: str | None) -> str | None:
    """Return the one option that a sentence takes out of all those that it calls wrong.

    Args:
        said: Reply.
        options: Option texts by letter.
        tag: Language of the question.
    """
    language = (tag and known_as(tag)) or "en"
    before, behind, every, wrong = _patterns(language, tuple(options.items()), revision())
    for sentence in SENTENCES.split(said)[-LISTED:]:
        plain = SCRIPTS_MEET.sub(" ", fold(sentence)) if len(sentence) <= LONGEST else ""
        named = {found[1] for pattern in (before, behind) for found in pattern.finditer(plain)}
        taken = {_letter(word, language, options) for word in named}
        # "All except the dog are asleep": asked was who is not; but "all except A fit" leaves A out.
        by_text = not named & _signs(language, options).keys()
        if len(taken) == 1 and every.search(plain) and (by_text or wrong.search(plain)):
            return taken.pop()
    return None


def _letter(named: str, language: str, options: Mapping[str, str]) -> str | None:
    """The option that its letter, its text or a form of its text names."""
    exact = _signs(language, options) | {fold(text): letter for letter, text in options.items() if text}
    forms = {letter for letter, text in options.items() if (bare := stem(fold(text))) and named.startswith(bare)}
    return exact.get(named) or (forms.pop() if len(forms) == 1 else None)


def _signs(language: str, letters: Collection[str]) -> dict[str, str]:
    """What stands for the letters, folded: "c", "ج"."""
    own = known_languages().get(language, Language()).labels
    signs = {fold(sign): letter for sign, letter in own.items() if letter in letters and sign not in NUMERALS}
    return signs | {letter.lower(): letter for letter in letters}


@lru_cache(maxsize=256)
def _patterns(language: str, options: tuple[tuple[str, str], ...], revision: int) -> tuple[re.Pattern[str], ...]:
    known = known_languages()
    entries = [known[code] for code in dict.fromkeys((language, "en")) if code in known]

    def words(*kinds: str) -> str:
        return any_of(word for entry in entries for kind in kinds for word in getattr(entry, kind))

    thing = any_of([*(text for _, text in options), *_signs(language, [letter for letter, _ in options])])
    turned = [re.escape(bare) for _, text in options if (bare := stem(fold(text)))] if entries[0].inflecting else []
    thing = rf"(?:{thing}|(?<!\w)(?:{'|'.join(turned)})\w{{0,3}}(?!\w))" if turned else thing
    filler = words("fillers", "articles", "option")
    before = rf"{words('exceptions')}\s*(?:{filler}\s*){{0,3}}({thing})"
    behind = rf"({thing})\s*(?:'?\w{{0,4}}\s*)?(?:{filler}\s*){{0,2}}{words('exceptions_behind')}"
    every, wrong = words("all_others"), words("denials", "no", "negations")
    return tuple(re.compile(pattern) for pattern in (before, behind, every, wrong))
