"""Options that are lists of the same few things: "red and blue", "only red", "red, blue and green", "both", "neither".

Such an option is told by the set of things that a reply affirms, in whatever order and form.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import NamedTuple

from parrot_adapters.evaluation.matching.groups import group_kinds, group_words
from parrot_adapters.evaluation.matching.known_languages import known_as, known_languages, revision
from parrot_adapters.evaluation.matching.text_forms import UNSPACED, any_of, fold, script
from parrot_adapters.evaluation.matching.vocabulary import Vocabulary
from parrot_adapters.evaluation.matching.word_forms import kin, words_of

__all__ = ["listed_things", "things_choice"]

SENTENCES = re.compile(r"[.!?;。！？；؟\n]+")
CLAUSES = re.compile(r"[,.!?:;，。！？：；،؛؟\n]+")
LONGEST = 300
"""Characters of a reply that is read as a whole; of a longer one the last sentence is."""
MOST = 6
"""Different things in all options, at most."""


def listed_things(options: Mapping[str, str], tag: str | None) -> dict[str, frozenset[str]] | None:
    """Return the things of each option, where options are lists of the same few and each list is another; else None.

    Args:
        options: Option texts by letter.
        tag: Language of the question.
    """
    return _listed(tuple(options.items()), (tag and known_as(tag)) or "en", revision())


@lru_cache(maxsize=512)
def _listed(options: tuple[tuple[str, str], ...], language: str, revision: int) -> dict[str, frozenset[str]] | None:
    words, texts = _words(language, revision), {letter: fold(text).strip(" .。") for letter, text in options}
    kinds = group_kinds(texts, group_words(language))
    lists = {letter: frozenset(_things(text, words)) for letter, text in texts.items()}
    groups = {letter for found in kinds.values() for letter in found if len(lists[letter]) < 2}
    named = frozenset[str]().union(*(mine for letter, mine in lists.items() if letter not in groups))
    lists |= {letter: frozenset() for letter in groups if not lists[letter] & named}
    things = frozenset[str]().union(*lists.values())
    for kind in ("both", "every"):
        lists |= {letter: things for letter in kinds[kind] if not lists[letter]}
    shared = [thing for thing in things if sum(thing in mine for mine in lists.values()) > 1]
    fits = (
        2 <= len(things) <= MOST
        and len(shared) >= len(things) - 1
        and all(" " not in thing for thing in things)
        and any(len(mine) > 1 for mine in lists.values())
        and all(mine or letter in kinds["neither"] for letter, mine in lists.items())
        and len(set(lists.values())) == len(lists)
    )
    return lists if fits else None


def _things(text: str, words: _Words) -> list[str]:
    bare = words.around.sub(" ", text)
    parts = (" ".join(word for word in said.split() if word not in words.articles) for said in words.joiner.split(bare))
    return [part for part in parts if part]


def things_choice(said: str, options: Mapping[str, str], tag: str | None, known: Vocabulary) -> str | None:
    """Return the option that lists all the things that a reply affirms and no other.

    Args:
        said: Reply, with what it denies.
        options: Option texts by letter.
        tag: Language of the question.
        known: Words of the language.
    """
    lists = listed_things(options, tag)
    if lists is None:
        return None
    words = _words((tag and known_as(tag)) or "en", revision())
    sentences = [sentence for sentence in SENTENCES.split(said) if sentence.strip()]
    text = words.certain.sub(" ", fold(said if len(said) <= LONGEST else (sentences or [""])[-1]))
    left_out = words.exception.search(text)
    things = sorted(frozenset[str]().union(*lists.values()))
    clauses = [clause for clause in CLAUSES.split(text) if not words.denial.search(clause)]
    if len(things) == 2 and any(words.both.search(clause) for clause in clauses) and not words.only.search(text):
        return next((letter for letter, mine in lists.items() if len(mine) == 2), None)
    if words.doubt.search(text) or (left_out and not words.addition.search(text, left_out.end())):
        return None
    if any(words.turn.search(clause) for clause in clauses):  # "red, but no blue" is told by its "no"
        return None
    affirmed = frozenset(thing for thing in things if any(_is_in(thing, clause, things, known) for clause in clauses))
    if not affirmed and not all(_is_in(thing, text, things, known) for thing in things):
        return None
    return next((letter for letter, mine in lists.items() if mine == affirmed), None)


def _is_in(thing: str, clause: str, things: list[str], known: Vocabulary) -> bool:
    if script(thing[0]).startswith(UNSPACED):  # "红色" is "红" beside "蓝色"
        endings = {other[-1:] for other in things}
        return (thing[:-1] if len(endings) == 1 and len(thing) > 1 else thing) in clause
    return any(kin(thing, word, known) for word in words_of(clause))


class _Words(NamedTuple):
    around: re.Pattern[str]
    """What options say of a list: "only", "both"."""
    joiner: re.Pattern[str]
    articles: frozenset[str]
    certain: re.Pattern[str]
    doubt: re.Pattern[str]
    """What makes a thing that is said no part of the answer."""
    turn: re.Pattern[str]
    exception: re.Pattern[str]
    addition: re.Pattern[str]
    denial: re.Pattern[str]
    both: re.Pattern[str]
    only: re.Pattern[str]


@lru_cache(maxsize=64)
def _words(language: str, revision: int) -> _Words:
    known = known_languages()
    entries = [known[code] for code in dict.fromkeys((language, "en")) if code in known]

    def pattern(*kinds: str, but: Collection[str] = ()) -> re.Pattern[str]:
        listed = (word for entry in entries for kind in kinds for word in getattr(entry, kind))
        return re.compile(any_of(word for word in listed if word not in but))

    joiners = [word for entry in entries[:1] for word in entry.joiners if word not in entry.alternatives]
    glued = r"|(?<=\w)\s+و(?=\w{2})" if "و" in joiners else ""
    return _Words(
        around=pattern("only", "both", "every", "neither"),
        joiner=re.compile(rf"\s*(?:[,،、，]\s*(?:{any_of(joiners)})?|{any_of(joiners)}{glued})\s*"),
        articles=frozenset(fold(word) for entry in entries for word in entry.articles),
        certain=pattern("certainties"),
        doubt=pattern("alternatives", "concessions", "conditions", "impressions", "seemings", "hedges"),
        turn=pattern("turns"),
        exception=pattern(
            "exceptions", "exceptions_behind", "exclusions", but=[word for entry in entries for word in entry.turns]
        ),
        addition=pattern("additions"),
        denial=pattern("negations", "denials", "absences", "neither"),
        both=pattern("both"),
        only=pattern("only"),
    )
