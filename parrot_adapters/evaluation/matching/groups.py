"""Options that stand for several others: "both", "neither", "all of the above", and replies that say so."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from parrot_adapters.evaluation.matching.known_languages import known_as, known_languages, revision
from parrot_adapters.evaluation.matching.text_forms import any_of, fold
from parrot_adapters.evaluation.matching.word_forms import words_of

__all__ = ["group_choice", "group_kinds", "group_words"]

MEANT = ("neither", "every", "both")
KINDS = ("neither", "every", "both", "only", "negations")
OPENING = 120
"""Characters of a reply in which it says so, at its beginning; at its end as many."""


def group_choice(reply: str, options: Mapping[str, str], tag: str | None) -> str | None:
    """Return the option that means both, none or all of the others, where the reply says that in any words.

    Args:
        reply: What was said.
        options: Option texts by letter.
        tag: Language of the question.
    """
    if len(options) < 3:
        return None
    words = group_words(tag)
    meant = group_kinds({letter: fold(text) for letter, text in options.items()}, words)
    said = fold(reply)
    said = said if len(said) <= 2 * OPENING else f"{said[:OPENING]}\n{said[-OPENING:]}"
    kind = _kind(said, words)
    letters = meant[kind] if kind else []
    return letters[0] if len(letters) == 1 and not words.patterns["only"].search(said) else None


def group_words(tag: str | None) -> _Words:
    """Return the words for both, none and all.

    Args:
        tag: Language of the question.
    """
    return _words((tag and known_as(tag)) or "en", revision())


def group_kinds(texts: Mapping[str, str], words: _Words) -> dict[str, list[str]]:
    """Return the letters of the options that mean none, all or both of the others.

    Args:
        texts: Folded option texts by letter.
        words: Words for them.
    """
    meant: dict[str, list[str]] = {kind: [] for kind in MEANT}
    for letter, text in texts.items():
        kind = _kind(text, words)
        kind = "neither" if len(words.patterns["negations"].findall(text)) > 1 else kind  # "not the cat nor the dog"
        if kind or _joins_two(letter, texts, words.joiners):
            meant[kind or "both"].append(letter)
    return meant


def _kind(text: str, words: _Words) -> str | None:
    """What a text says of all, in its longest words for it: "都没错" is no "都没"."""
    found = {kind: words.patterns[kind].search(text) for kind in MEANT}
    spans = {kind: match.span() for kind, match in found.items() if match}
    return next(
        (
            kind
            for kind, (start, end) in spans.items()
            if not any(a <= start and end <= b and (a, b) != (start, end) for a, b in spans.values())
        ),
        None,
    )


def _joins_two(letter: str, texts: Mapping[str, str], joiners: frozenset[str]) -> bool:
    """True of "cat and dog" beside "only cat" and "only dog": it holds a joiner, and a word of either."""
    mine = set(words_of(texts[letter]))
    shared = [mine & set(words_of(text)) - joiners for name, text in texts.items() if name != letter]
    shared = [words for words in shared if words]
    common = set.intersection(*shared) if shared else set()
    return bool(mine & joiners) and sum(bool(words - common) for words in shared) > 1


class _Words(NamedTuple):
    patterns: Mapping[str, re.Pattern[str]]
    joiners: frozenset[str]


@lru_cache(maxsize=64)
def _words(language: str, revision: int) -> _Words:
    every = known_languages()
    entries = [every[code] for code in dict.fromkeys((language, "en")) if code in every]
    listed = {kind: [w for e in entries for w in getattr(e, kind)] for kind in KINDS}
    # A single sign such as 只 stands in other words, too.
    listed["only"] = [word for word in listed["only"] if len(word) > 1]
    patterns = {kind: re.compile(any_of(words)) for kind, words in listed.items()}
    return _Words(patterns, frozenset(fold(word) for entry in entries for word in entry.joiners))
