"""Options that are shares of a whole, and replies that say them in words: "a third" for "1/3"."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction
from functools import lru_cache

from parrot_adapters.evaluation.matching.known_languages import Language, known_as, known_languages, revision
from parrot_adapters.evaluation.matching.text_forms import UNSPACED, fold, script

__all__ = ["share_choice"]

WRITTEN = re.compile(r"(?<![\w./])([0-9]{1,3})\s?[/⁄]\s?([1-9][0-9]{0,2})(?![\w/]|\.[0-9])", re.ASCII)
LONGEST = 2000
"""Characters of a reply, of its end, that are looked through."""
LARGEST = 20


def share_choice(reply: str, options: Mapping[str, str], tag: str | None) -> str | None:
    """Return the one option whose share a reply names, where every option is a fraction.

    Args:
        reply: What was said, without what it rejects.
        options: Option texts by letter.
        tag: Language of the question.
    """
    own: dict[Fraction, list[str]] = {}
    for letter, text in options.items():
        share = WRITTEN.fullmatch(fold(text).strip(" .$"))
        if share is None:
            return None
        own.setdefault(Fraction(int(share[1]), int(share[2])), []).append(letter)
    language, text = (tag and known_as(tag)) or "en", fold(reply[-LONGEST:])
    said = {Fraction(int(share[1]), int(share[2])) for share in WRITTEN.finditer(text)}
    if not said:
        pattern, shares = _words(language, revision())
        said = {shares[share[0]] for share in pattern.finditer(text)}
    # "2/4" beside "1/2" is written out only by who means it; in words the reduced one is said.
    chosen = [letter for share in said for letter in own.get(share, [])]
    reduced = [letter for letter in chosen if Fraction(options[letter].strip(" .$").replace(" ", "")) in said]
    whole = [letter for letter in reduced if _is_reduced(options[letter])]
    return chosen[0] if len(chosen) == 1 else whole[0] if len(said) == len(whole) == 1 else None


def _is_reduced(text: str) -> bool:
    above, below = map(int, text.strip(" .$").replace(" ", "").split("/"))
    return Fraction(above, below).denominator == below


@lru_cache(maxsize=64)
def _words(language: str, revision: int) -> tuple[re.Pattern[str], dict[str, Fraction]]:
    """Every way to say a share in words: those of the table, and several of one that has the 1 above its line."""
    entry = known_languages().get(language, Language())
    shares: dict[str, Fraction] = {}
    for row in entry.shares:
        forms, _, value = row.partition(":")
        shares |= {fold(form): Fraction(value) for form in forms.split("/")}
    numbers = {fold(f): n for n, forms in enumerate(entry.numbers[: LARGEST + 1]) for f in forms.split("/") if n}
    counted = {
        f"{number}{between}{word}": value * share
        for word, share in shares.items()
        if share.numerator == 1
        for number, value in numbers.items()
        for between in (" ", "-")
        if 1 < value < share.denominator
    }
    shares = counted | shares
    longest = sorted(shares, key=len, reverse=True)
    parts = [re.escape(w) if script(w[0]).startswith(UNSPACED) else rf"(?<!\w){re.escape(w)}(?!\w)" for w in longest]
    return re.compile("|".join(parts) or "(?!)"), shares
