"""The option that a reply says in other words: by the words that no other option has, in any of their forms.

"The boy kicks a ball" is "The boy is kicking the ball" where no other option kicks. What two options' words are in the
reply decides for neither, unless one has nearly all of its own and the other few.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from parrot_adapters.evaluation.matching.text_forms import UNSPACED, clean, fold, script
from parrot_adapters.evaluation.matching.vocabulary import Vocabulary
from parrot_adapters.evaluation.matching.word_forms import WORD, kin, same_stem, words_of

__all__ = ["NUMERALS", "derived_choice", "gist_choice", "short_names"]

SENTENCES = re.compile(r"[.!?。！？؟;；\n]+")
CLAUSES = re.compile(r"[,.!?:;，。！？：；、،؛؟\n]+|\s-\s")
LONGEST = 600
"""Characters of a reply that is taken as a whole; of a longer one the last sentence is."""
ENOUGH = 0.5
"""Share of an option's own words that the reply has to have."""
NEARLY_ALL, FEW = 0.75, 0.34
"""Shares that decide between two options of which the reply has words."""
PARTLY = 0.67
"""Share of another option's words up to which one that has all of its own is meant."""
PASSIVE = frozenset({"by", "por", "pelo", "pela", "被", "tarafindan", "قبل", "把"})
"""Words that turn round who does what to whom."""
MANY = 3
"""Own words of an option from which on that is allowed."""
LONGEST_OPTION = 400
NOT_FAR = 2
"""Words behind a "not" that it may be about."""
COMMON_SIGNS = frozenset("的了着在是一个有和与也都很这那他她它们上里中下到被把就为人子士名位只条张把辆本座件双")
NUMERALS = frozenset("零一二三四五六七八九十百千万两")
LONG_CHINESE = 3
"""Signs from which on a Chinese option is a phrase, of which one sign may tell."""


class _Said(NamedTuple):
    words: list[str]
    denied: list[bool]


def gist_choice(reply: str, options: Mapping[str, str], known: Vocabulary) -> str | None:
    """Return the one option whose own words a reply has.

    Args:
        reply: What was said, without what it rejects.
        options: Option texts by letter.
        known: Words of the language.
    """
    own = own_words(options, known)
    if len(own) < 2:
        return None
    sentences = [said for said in SENTENCES.split(reply[-LONGEST:]) if said.strip()]
    return _told(reply if len(reply) <= LONGEST else sentences[-1] if sentences else "", own, options, known)


def derived_choice(reply: str, options: Mapping[str, str], known: Vocabulary) -> str | None:
    """Return the one option of whose own words a reply has one of the same stem: "parasitic", and "parasite".

    Args:
        reply: What was said, without what it rejects.
        options: Option texts by letter.
        known: Words of the language.
    """
    if len(reply) > LONGEST:
        return None
    said = _read(reply, known)
    words = [word for word, denied in zip(said.words, said.denied, strict=True) if not denied]
    own = own_words(options, known).items()
    if any(kin(word, other, known) for _, mine in own for word in mine for other in said.words):
        return None  # "it may be red or yellow": what is said plainly decides, or nothing
    found = {letter for letter, mine in own if any(same_stem(word, other) for word in mine for other in words)}
    return found.pop() if len(found) == 1 else None


def short_names(options: Mapping[str, str], known: Vocabulary) -> dict[str, str]:
    """Return the one word that tells an option from the others, "red" of "the red ball"; its text where it needs more.

    Args:
        options: Option texts by letter.
        known: Words of the language.
    """
    if all(len(words_of(text)) < 2 for text in options.values()):
        return {}
    names = {}
    for letter, words in own_words(options, known).items():
        told = _read(options[letter], known)
        run = "".join(words)
        if len(words) > 1 and script(run[0]).startswith(UNSPACED) and run in fold(options[letter]):
            names[letter] = run
        elif len(words) == 1 and _is_name(words[0], known) and not told.denied[told.words.index(words[0])]:
            names[letter] = _as_written(words[0], options[letter])
    return {**options, **names} if len(names) > 1 else {}


def _is_name(word: str, known: Vocabulary) -> bool:
    return not (_is_small(word, known) or word in NUMERALS)


def _as_written(name: str, text: str) -> str:
    """A folded word as the option writes it: "kırmızı"."""
    return next((word for word in WORD.findall(clean(text)) if fold(word) == name), name)


def own_words(options: Mapping[str, str], known: Vocabulary) -> dict[str, list[str]]:
    """The words of each option that no other option has in any form, without small ones where it has others.

    Args:
        options: Option texts by letter.
        known: Words of the language.
    """
    words = {letter: list(dict.fromkeys(words_of(text[:LONGEST_OPTION]))) for letter, text in options.items()}
    own = {
        letter: [
            word
            for word in mine
            if not any(kin(word, other, known) for b, theirs in words.items() if b != letter for other in theirs)
        ]
        for letter, mine in words.items()
    }
    return {letter: [w for w in mine if not _is_small(w, known)] or mine for letter, mine in own.items()}


def _is_small(word: str, known: Vocabulary) -> bool:
    return word in COMMON_SIGNS or word.isdecimal() or known.is_small(word)


def _told(piece: str, own: Mapping[str, list[str]], options: Mapping[str, str], known: Vocabulary) -> str | None:
    said = _read(piece, known)
    told = {letter: _read(text[:LONGEST_OPTION], known) for letter, text in options.items()}
    shares = {letter: _share(words, told[letter], said, known) for letter, words in own.items() if words}
    if len(shares) < 2:
        return _complete(said, told, known)
    best, second = sorted(shares, key=lambda letter: shares[letter], reverse=True)[:2]
    clear = shares[second] == 0 and shares[best] >= ENOUGH
    clear |= len(own[best]) >= MANY and shares[best] >= NEARLY_ALL and shares[second] <= FEW
    if not clear or not _is_about(best, said, own, options):
        return _complete(said, told, known) if not shares[best] else None
    whole = _wholes(said, told, known)
    if all(_is_small(word, known) for word in own[best]) and whole[best] < ENOUGH:
        # An "on" tells "on the table" from "under the table" only where the table is in the reply, too.
        return None if any(not _is_small(word, known) for word in told[best].words) else best
    # Of options that differ in the order of their words only, neither has words of its own.
    return best if all(whole[best] >= whole[letter] for letter in own if not own[letter]) else None


def _complete(said: _Said, told: Mapping[str, _Said], known: Vocabulary) -> str | None:
    """The one option of which every word is said, where no other has many: "两名男子" is "两个男人", not "一男一女"."""
    whole = _wholes(said, told, known)
    best, second = sorted(whole, key=lambda letter: whole[letter], reverse=True)[:2]
    many = sum(not _is_small(word, known) for word in told[best].words) > 1
    if whole[best] == 1 and whole[second] <= (PARTLY if many else ENOUGH):
        return best
    return _in_order(said, {letter: told[letter] for letter in whole if whole[letter] == 1}, known)


def _in_order(said: _Said, told: Mapping[str, _Said], known: Vocabulary) -> str | None:
    """Of options that have the same words, the one that has them in the order of the reply: who chases whom."""
    if len(told) < 2 or PASSIVE & {*said.words} or any(PASSIVE & {*mine.words} for mine in told.values()):
        return None
    found = set()
    for letter, mine in told.items():
        places = [
            next((i for i, other in enumerate(said.words) if kin(word, other, known)), -1)
            for word in mine.words
            if not _is_small(word, known)
        ]
        if places == sorted(places) and len(set(places)) == len(places):
            found.add(letter)
    return found.pop() if len(found) == 1 else None


def _wholes(said: _Said, told: Mapping[str, _Said], known: Vocabulary) -> dict[str, float]:
    """For each option the share of its words, small ones aside, that the reply has."""
    return {
        letter: _share([word for word in mine.words if not _is_small(word, known)], mine, said, known)
        for letter, mine in told.items()
    }


def _share(words: list[str], option: _Said, said: _Said, known: Vocabulary) -> float:
    return sum(_is_said(word, option, said, known) for word in words) / max(1, len(words))


def _is_about(letter: str, said: _Said, own: Mapping[str, list[str]], options: Mapping[str, str]) -> bool:
    """One sign of Chinese tells a phrase only where the rest of the phrase is in the reply as well."""
    if not any(script(word[0]).startswith(UNSPACED) for word in own[letter]):
        return True
    signs = [word for word in words_of(options[letter]) if word not in COMMON_SIGNS]
    found = sum(word in said.words for word in signs)
    return found == len(signs) > 1 or (len(signs) >= LONG_CHINESE and found >= ENOUGH * len(signs))


def _read(piece: str, known: Vocabulary) -> _Said:
    """The words of a piece, and which of them a "not" in front or behind denies."""
    words: list[str] = []
    denied: list[bool] = []
    for clause in CLAUSES.split(piece):
        mine = words_of(clause)
        marks = [False] * len(mine)
        for i, word in enumerate(mine):
            if known.suffixing and word in known.denials:  # "kahve değil"
                marks[max(0, i - 1) : i] = [True] * min(i, 1)
            elif word in known.negations:
                marks[i + 1 : i + 1 + NOT_FAR] = [True] * len(marks[i + 1 : i + 1 + NOT_FAR])
            if known.negated and known.negated.search(word):
                marks[i] = True
        words += mine
        denied += marks
    return _Said(words, denied)


def _is_said(word: str, option: _Said, said: _Said, known: Vocabulary) -> bool:
    """True where the reply has a form of the word, denied if the option denies it."""
    denied = option.denied[option.words.index(word)]
    return any(kin(word, other, known) and d == denied for other, d in zip(said.words, said.denied, strict=True))
