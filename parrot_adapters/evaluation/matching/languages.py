"""What the robust matcher knows of a language, and how a new language is taught to it.

The knowledge is data (``language_data.py``), one :class:`Language` each. To add one, call
:func:`add_language` from a plugin, or write the same fields in a JSON file and call :func:`load_languages`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from parrot_adapters.errors import ConfigError, explain, suggest

__all__ = ["ALIASES", "Language", "add_language", "canonical_language", "known_languages", "load_languages"]

ALIASES = {"cn": "zh", "zh-cn": "zh", "zh-hans": "zh", "pt-br": "pt", "pt-pt": "pt"}


def canonical_language(code: str) -> str:
    """The library's code for a language: lower case, ``zh`` for ``cn``.

    >>> canonical_language("cn"), canonical_language("PT")
    ('zh', 'pt')
    """
    plain = code.strip().lower().replace("_", "-")
    return ALIASES.get(plain, plain)


@dataclass(frozen=True)
class Language:
    """Words with which a language announces, names or refuses an answer. Case, accents and spacing do not matter."""

    answer: tuple[str, ...] = ()
    """Words before an answer: "answer", "correct option"."""
    option: tuple[str, ...] = ()
    """Words beside a letter: "option" in "option B", "şıkkı" in "B şıkkı"."""
    fillers: tuple[str, ...] = ()
    """Words between the answer word and the letter: "is", "the", "clearly"."""
    refusals: tuple[str, ...] = ()
    """Phrases that mean "I will not, or cannot, say"."""
    negations: tuple[str, ...] = ()
    """Words before a letter that strike it out: "not" in "not A, but B"."""
    joiners: tuple[str, ...] = ()
    """Words that put two letters side by side: "or" in "A or B"."""
    articles: tuple[str, ...] = ()
    """Words an answer may put before an option's text, or leave away."""
    words: tuple[str, ...] = ()
    """One-letter words that look like an option letter: "A" in "A dog"."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """Other signs for the option letters: ``{"ب": "B"}``."""
    prefixes: tuple[str, ...] = ()
    """What the language writes glued before a noun: the Arabic article and prepositions."""
    endings: tuple[str, ...] = ()
    """Endings an option's text may take without becoming another word: the plural "s"."""
    suffixing: bool = False
    """True where words carry any number of endings without a space: Turkish, Korean."""
    scripts: tuple[str, ...] = ()
    """What it is written in, by the first word of the Unicode names of its letters: ``LATIN``, ``CYRILLIC``."""


def add_language(code: str, language: Language) -> None:
    """Teach the robust matcher a language, or replace what it knows of one."""
    _table()[canonical_language(code)] = language
    _listeners_changed()


def load_languages(path: str | Path) -> list[str]:
    """Add every language of a JSON file ``{code: {field: value}}`` and return their codes.

    Raises:
        ConfigError: the file cannot be read, or a field is unknown or of the wrong type; all such fields are reported
            together.
    """
    try:
        given = json.loads(Path(path).read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise ConfigError(explain("a language file cannot be read as JSON.", file=path, because=error)) from None
    if not isinstance(given, dict):
        raise ConfigError(explain("a language file holds one object.", file=path, given=type(given).__name__))
    known = {f.name for f in fields(Language)}
    wrong = [
        f"{code}.{name}{suggest(name, known)}"
        for code, entry in given.items()
        for name in (entry if isinstance(entry, dict) else {"": None})
        if name not in known
    ]
    wrong += [
        f"{code}.{name}: {type(value).__name__}"
        for code, entry in given.items()
        if isinstance(entry, dict)
        for name, value in entry.items()
        if name in known and not _fits(name, value)
    ]
    if wrong:
        raise ConfigError(
            explain("unknown or ill-typed language fields.", file=path, fields="; ".join(wrong), known=sorted(known))
        )
    for code, entry in given.items():
        checked: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in entry.items()}
        add_language(code, Language(**checked))
    return [canonical_language(code) for code in given]


def known_languages() -> Mapping[str, Language]:
    """Every language the robust matcher knows, by code."""
    return _table()


def _fits(name: str, value: object) -> bool:
    if name == "suffixing":
        return isinstance(value, bool)
    if name == "labels":
        return isinstance(value, dict) and all(isinstance(v, str) for v in value.values())
    return isinstance(value, list) and all(isinstance(v, str) for v in value)


def _table() -> dict[str, Language]:
    from parrot_adapters.evaluation.matching.language_data import LANGUAGES

    return LANGUAGES


def _listeners_changed() -> None:
    from parrot_adapters.evaluation.matching.robust import forget_compiled

    forget_compiled()
