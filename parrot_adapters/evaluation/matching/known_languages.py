"""What the robust matcher knows of a language, and how a new language is taught to it.

The knowledge is data, one :class:`Language` each, one file each in ``languages/``. To add one, write such a file, or
call :func:`add_language` from a plugin, or write the same fields in a JSON file and call :func:`load_languages`.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from parrot_adapters.atomic_files import as_path
from parrot_adapters.bounded_json import read_json
from parrot_adapters.errors import ConfigError, explain, suggest
from parrot_adapters.evaluation.matching.language_words import Language
from parrot_adapters.evaluation.matching.languages.languages_by_code import LANGUAGES
from parrot_adapters.language_tags import base_language, canonical_language

__all__ = [
    "Language",
    "add_language",
    "canonical_language",
    "known_as",
    "known_languages",
    "load_languages",
    "revision",
]

_ADDED: list[tuple[str, Language, int]] = []
"""What was taught at run time, in order, each with a number of its own; a plugin may do that, so it lives as long as
the plugins do."""
_NUMBERS = itertools.count(1)


def add_language(code: str, language: Language) -> None:
    """Teach the robust matcher a language, or replace what it knows of one.

    Args:
        code: Language tag.
        language: Words of the language.
    """
    _ADDED.append((canonical_language(code), language, next(_NUMBERS)))


def load_languages(path: str | Path) -> list[str]:
    """Add every language of a JSON file ``{code: {field: value}}`` and return their codes.

    Args:
        path: Path of the JSON file.

    Raises:
        ConfigError: The file cannot be read, or a field is unknown or of the wrong type; all such fields are reported
            together.
    """
    given = read_json(as_path(path, "path"), ConfigError)
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
    """Return every language the robust matcher knows, by tag."""
    return LANGUAGES | {code: language for code, language, _ in _ADDED}


def known_as(tag: str) -> str | None:
    """Return the tag under which a language is known: its own, or that without script and region; None for neither.

    Args:
        tag: Language tag.

    >>> known_as("es-mx"), known_as("cn"), known_as("tlh")
    ('es', 'zh', None)
    """
    known = known_languages()
    return next((name for name in (canonical_language(tag), base_language(tag)) if name in known), None)


def revision() -> int:
    """Return a number that changes whenever a language is added: what is compiled from the table is kept by it."""
    return _ADDED[-1][-1] if _ADDED else 0


def _fits(name: str, value: object) -> bool:
    if name in ("suffixing", "inflecting", "decimal_comma"):
        return isinstance(value, bool)
    if name == "alphabet":
        return isinstance(value, str)
    if name == "labels":
        return isinstance(value, dict) and all(isinstance(v, str) for v in value.values())
    return isinstance(value, list) and all(isinstance(v, str) for v in value)
