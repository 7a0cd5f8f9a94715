"""Options that a reply names by another word for the same: "couch" for "sofa", "开心" for "高兴"."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

from parrot_adapters.evaluation.matching.known_languages import known_as, known_languages, revision
from parrot_adapters.evaluation.matching.text_forms import any_of, fold

__all__ = ["other_names"]

MOST = 60
"""Other names that are tried, at most."""


def other_names(options: Mapping[str, str], tag: str | None) -> list[tuple[str, str]]:
    """Return other texts of options, each with its letter: "behind the couch" of "behind the sofa".

    Only words that tell an option from the others have other names: what stands in several options is in none.

    Args:
        options: Option texts by letter.
        tag: Language of the question.
    """
    return list(_names(tuple((x, fold(text)) for x, text in options.items()), tag and known_as(tag), revision()))


@lru_cache(maxsize=512)
def _names(options: tuple[tuple[str, str], ...], language: str | None, revision: int) -> tuple[tuple[str, str], ...]:
    found: list[tuple[str, str]] = []
    for members, pattern in _groups(language, revision):
        holders = [(letter, text, match) for letter, text in options if (match := pattern.search(text))]
        if len({match[0] for _, _, match in holders}) != 1:
            continue  # two words of one meaning in the options mean two things there
        said = holders[0][2][0]
        found += [
            (letter, text[: match.start()] + other + text[match.end() :])
            for letter, text, match in holders
            for other in members
            if other != said
        ]
    return tuple(found[:MOST])


@lru_cache(maxsize=64)
def _groups(language: str | None, revision: int) -> tuple[tuple[list[str], re.Pattern[str]], ...]:
    known = known_languages()
    entries = list(known.values()) if language is None else [known[language]]
    groups = [[fold(word) for word in group.split("/")] for entry in entries for group in entry.synonyms]
    return tuple((members, re.compile(any_of(members))) for members in groups)
