"""Options that are times of the clock, and replies that say them otherwise: "quarter to nine" for "8:45"."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from parrot_adapters.evaluation.matching.known_languages import Language, known_as, known_languages, revision
from parrot_adapters.evaluation.matching.text_forms import UNSPACED, fold, script

__all__ = ["clock_choice", "times_of"]

HALF_DAY = 12 * 60
"""Minutes after which a clock shows the same."""
DIGITAL = re.compile(r"(?<![0-9.:,])([0-2]?[0-9])\s?[:.h]\s?([0-5][0-9])(?![0-9:%]|[.,][0-9])", re.ASCII)
LONGEST = 2000
"""Characters of a reply, of its end, that are looked through."""
NUMBER = "[0-9]{1,2}(?:'[a-z]{1,3})?"


def clock_choice(reply: str, options: Mapping[str, str], tag: str | None) -> str | None:
    """Return the one option whose time a reply says, where every option is a time of its own.

    Args:
        reply: What was said, without what it rejects.
        options: Option texts by letter.
        tag: Language of the question.
    """
    own = {letter: times_of(text, tag) for letter, text in options.items()}
    if any(len(found) != 1 for found in own.values()):
        return None
    said = times_of(reply[-LONGEST:], tag)
    chosen = [letter for letter, found in own.items() if found <= said]
    return chosen[0] if len(chosen) == 1 else None


def times_of(text: str, tag: str | None) -> set[int]:
    """Return the times that a text says, in minutes of half a day.

    Args:
        text: Any text.
        tag: Language of the question.
    """
    language, folded = (tag and known_as(tag)) or "en", fold(text)
    found = [(clock.span(), 60 * int(clock[1]) + int(clock[2])) for clock in DIGITAL.finditer(folded)]
    words = _words(language, revision())
    for form in words.forms:
        for clock in form.pattern.finditer(folded):
            said = clock.groupdict()
            minutes = form.fixed if form.fixed is not None else _value(said["m"], words.minutes)
            hour = _value(said["h"], words.begun if form.begun else words.hours)
            found.append((clock.span(), 60 * (hour - form.begun) + form.sign * minutes))
    outer = [time for (a, b), time in found if not any(s <= a and b <= e and (s, e) != (a, b) for (s, e), _ in found)]
    return {time % HALF_DAY for time in outer}


def _value(said: str, words: Mapping[str, int]) -> int:
    return words[said] if said in words else int(re.match("[0-9]+", said)[0])  # type: ignore[index]


class _Form(NamedTuple):
    pattern: re.Pattern[str]
    sign: int
    begun: bool
    """True where the hour is the one that has begun: Russian "quarter of the ninth" is 8:15."""
    fixed: int | None
    """Minutes that the form has by itself."""


class _Words(NamedTuple):
    hours: Mapping[str, int]
    begun: Mapping[str, int]
    minutes: Mapping[str, int]
    forms: tuple[_Form, ...]


@lru_cache(maxsize=64)
def _words(language: str, revision: int) -> _Words:
    entry = known_languages().get(language, Language())
    hours = _numbered(entry.hours or entry.numbers[1:13])
    begun, minutes = _numbered(entry.hours_begun), _minutes(entry)
    forms = tuple(_form(clock, hours, begun, minutes) for clock in entry.clocks)
    return _Words(hours, begun, minutes, forms)


def _numbered(words: tuple[str, ...]) -> dict[str, int]:
    return {fold(form): hour for hour, forms in enumerate(words, start=1) for form in forms.split("/")}


def _minutes(entry: Language) -> dict[str, int]:
    """Every way to say 0 to 59, and the words for parts of an hour."""
    ones = {fold(form): value for value, forms in enumerate(entry.numbers) for form in forms.split("/")}
    tens = {fold(form): 20 + 10 * i for i, forms in enumerate(entry.tens[:4]) for form in forms.split("/")}
    said = ones | tens
    for ten, value in tens.items():
        for one in (one for one in ones if 0 < ones[one] < 10):
            said |= {f"{ten}{joiner}{one}": value + ones[one] for joiner in (" ", "-", "")}
            said |= {f"{ten} {fold(joiner)} {one}": value + ones[one] for joiner in entry.number_joiners}
    parts = (part.partition(":") for part in entry.hour_parts)
    return said | {fold(word): int(value) for word, _, value in parts}


def _form(clock: str, hours: Mapping[str, int], begun: Mapping[str, int], minutes: Mapping[str, int]) -> _Form:
    """ "- M to H" as a pattern: minutes, and the hour that they are taken from; "~" where no space is."""
    first, _, written = clock.partition(" ")
    sign = {"+": 1, "-": -1}.get(first, 1)
    kinds = {"H": _group("h", hours), "B": _group("h", begun), "M": _group("m", minutes)}
    spaced = not any(script(char).startswith(UNSPACED) for char in written)
    pattern = (r"\s+" if spaced else r"\s*").join(
        r"\s*".join(kinds.get(part) or re.escape(fold(part)) for part in word.split("~")) for word in written.split()
    )
    edges = (r"(?<!\w)", r"(?!\w)") if spaced else ("", "")
    fixed = int(first) if first.isdecimal() else None
    return _Form(re.compile(pattern.join(edges)), sign, "B" in written.split(), fixed)


def _group(name: str, words: Mapping[str, int]) -> str:
    return rf"(?P<{name}>{'|'.join([*map(re.escape, sorted(words, key=len, reverse=True)), NUMBER])})"
