"""Options that are numbers, and replies that write them otherwise: "4" for "four", "Nine" for "9", "2" for "两个"."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache

from parrot_adapters.evaluation.matching.known_languages import Language, known_as, known_languages, revision
from parrot_adapters.evaluation.matching.text_forms import UNSPACED, any_of, clean, fold, script

__all__ = ["counted_choice", "counts_of", "number_names", "number_words", "reckoned_choice", "results_before"]

NEAR = 40
"""Characters beside "equals" in which its number stands."""
MANY, LISTED = 3, 12
"""Numbers of which one may be the sum of the others: so many at least, and at most."""
LAST = 4
"""Reckonings that are looked at, from the end."""
CLAUSE = re.compile(r"[,;.!?:()、，。；！？：،؛؟\n]+(?![0-9])")

DIGITS = re.compile(r"(?<![\w.,-])[0-9]{1,9}(?![\w]|[.,][0-9])", re.ASCII)
DIGITS_OR_MEASURED = re.compile(r"(?<![A-Za-z0-9.,-])[0-9]{1,9}(?![A-Za-z0-9]|[.,][0-9])", re.ASCII)
WORD = re.compile(r"[^\W\d_]+")
MEASURE = "个只条张人位头匹辆本块片瓶杯朵棵件双把支名座种岁"
"""Signs that Chinese puts between a number and what is counted."""


def counts_of(options: Mapping[str, str], tag: str | None) -> dict[int, str] | None:
    """Return the letter of each number, where every option is a number of its own; else None.

    Args:
        options: Option texts by letter.
        tag: Language of the question.
    """
    words, found, nothing = _words(tag), dict[int, str](), {fold(word) for word in _entry(tag).nothing}
    for letter, text in options.items():
        plain = fold(text).strip(" .")
        value = int(plain) if re.fullmatch("[0-9]{1,9}", plain, re.ASCII) else words.get(plain)
        value = 0 if value is None and plain in nothing else value
        if value is None or value in found:
            return None
        found[value] = letter
    return found if any(found) else None


def counted_choice(reply: str, options: Mapping[str, str], tag: str | None) -> str | None:
    """Return the option whose number a reply says, where options are numbers and it says one number.

    Args:
        reply: What was said, without what it rejects.
        options: Option texts by letter.
        tag: Language of the question.
    """
    letters = counts_of(options, tag)
    if letters is None:
        return None
    words, text = _words(tag), clean(reply)
    if (whole := _sum_of_others(_numbers(fold(text), tag))) in letters:
        return letters[whole]
    said = {int(number) for number in DIGITS.findall(text)}
    # "One of them is ..." counts nothing; a word for one is taken only where nothing else is said.
    named = {words[word] for word in _pattern((tag and known_as(tag)) or "en", revision()).findall(fold(text))}
    one = 1 in named and (
        (named == {1} and len(WORD.findall(text)) == 1) or _only_one(tag, revision()).search(fold(text))
    )
    said |= named if one else named - {1}
    if not said and _single(tag, revision()).search(fold(text)):
        said = {1}
    if not said and _dual(tag, revision()).search(fold(text)):
        said = {2}
    return letters.get(said.pop()) if len(said) == 1 else None


def _sum_of_others(numbers: Sequence[int]) -> int | None:
    """The 4 of "4 people: 3 adults and 1 child"; None where no number is all others together."""
    most = max(numbers, default=0)
    return most if MANY <= len(numbers) <= LISTED and 2 * most == sum(numbers) else None


def number_names(options: Mapping[str, str], tag: str | None) -> list[str]:
    """Return the words and digits that say the numbers of options: "twelve" of "12 apples".

    Args:
        options: Option texts by letter.
        tag: Language of the question.
    """
    words, names = _words(tag), list[str]()
    for text in options.values():
        numbers = _numbers(fold(text), tag)
        if len(numbers) != 1:
            return []
        names += [str(numbers[0]), *(word for word, value in words.items() if value == numbers[0])]
    return names if len(names) > 1 else []


def reckoned_choice(reply: str, options: Mapping[str, str], tag: str | None) -> str | None:
    """Return the option whose number a reckoning comes to: the 20 of "12 + 8 = 20", "three in all".

    Args:
        reply: What was said, without what it rejects.
        options: Option texts by letter.
        tag: Language of the question.
    """
    letters = counts_of(options, tag)
    if letters is None:
        return None
    text = fold(reply)
    before, behind = results_before(tag, revision()), _totals(tag, revision())
    ends = [(found.end(), text[found.end() : found.end() + NEAR], 0) for found in before.finditer(text)]
    ends += [(found.start(), text[max(0, found.start() - NEAR) : found.start()], -1) for found in behind.finditer(text)]
    for _, piece, place in sorted(ends, reverse=True)[:LAST]:
        clause = CLAUSE.split(piece)[place]
        if numbers := _numbers(clause, tag):
            return letters.get(numbers[place])
    return None


def _numbers(text: str, tag: str | None) -> list[int]:
    """The numbers of a folded text, in their order, as digits or in words."""
    words = _words(tag)
    found = [(number.start(), int(number[0])) for number in DIGITS_OR_MEASURED.finditer(text)]
    found += [
        (word.start(), words[word[0]]) for word in _pattern((tag and known_as(tag)) or "en", revision()).finditer(text)
    ]
    return [value for _, value in sorted(found)]


@lru_cache(maxsize=64)
def results_before(tag: str | None, revision: int) -> re.Pattern[str]:
    """Return what stands before the number that a reckoning comes to: "=", "the sum is".

    Args:
        tag: Language of the question.
        revision: Of the known languages.
    """
    entry = _entry(tag)
    return re.compile(f"=|{any_of(entry.results, entry.prefixes)}")


@lru_cache(maxsize=64)
def _totals(tag: str | None, revision: int) -> re.Pattern[str]:
    entry = _entry(tag)
    return re.compile(any_of(entry.totals, entry.prefixes))


@lru_cache(maxsize=64)
def _single(tag: str | None, revision: int) -> re.Pattern[str]:
    return re.compile(any_of(_entry(tag).single))


@lru_cache(maxsize=64)
def _dual(tag: str | None, revision: int) -> re.Pattern[str]:
    """A word of some letters that means two of a thing."""
    endings = "|".join(re.escape(fold(ending)) for ending in _entry(tag).duals)
    return re.compile(rf"\w{{2}}(?:{endings})(?!\w)" if endings else "(?!)")


@lru_cache(maxsize=64)
def _only_one(tag: str | None, revision: int) -> re.Pattern[str]:
    """ "Only one", "one ... only", with a word or two between."""
    only = any_of(_entry(tag).only)
    one = any_of([word for word, value in _words(tag).items() if value == 1])
    between = r"(?:\s*\w+){0,2}?\s*"
    return re.compile(f"{only}{between}{one}|{one}{between}{only}")


def _entry(tag: str | None) -> Language:
    return known_languages().get((tag and known_as(tag)) or "en", Language())


@lru_cache(maxsize=64)
def _pattern(language: str, revision: int) -> re.Pattern[str]:
    """Any number word, the longest that stands in a place; in an unspaced script only before what counts, or alone."""
    parts = []
    for word in sorted(number_words(language, revision), key=len, reverse=True):
        if script(word[0]).startswith(UNSPACED):
            parts.append(rf"(?<![零一二两三四五六七八九十百千第几]){word}(?=[{MEASURE}]|\W|$)")
        else:
            parts.append(rf"(?<!\w){re.escape(word)}(?!\w)")
    return re.compile("|".join(parts) or "(?!)")


def _words(tag: str | None) -> dict[str, int]:
    return number_words((tag and known_as(tag)) or "en", revision())


@lru_cache(maxsize=64)
def number_words(language: str, revision: int) -> dict[str, int]:
    """Return what each number word of a language means, folded.

    Args:
        language: Language tag, as it is known.
        revision: Of the known languages.
    """
    numbers = known_languages().get(language, Language()).numbers
    return {fold(form): value for value, forms in enumerate(numbers) for form in forms.split("/")}
