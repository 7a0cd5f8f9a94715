"""What leaves it open which option is meant: "if it is winter, A; if autumn, D", "both A and B are right"."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

from parrot_adapters.evaluation.matching.gist import NUMERALS
from parrot_adapters.evaluation.matching.known_languages import known_as, known_languages, revision
from parrot_adapters.evaluation.matching.text_forms import LATIN, any_phrase, clean, lowered

__all__ = ["without_undecided"]

SENTENCES = re.compile(r"[^.!?\n。！？؟]+")
WITHIN = r"[^.;!?\n。；！？؟]"
"""What a condition and the letter that it is for have between them."""
REACH = 120
"""Characters from a condition to its letter, at most."""
NEAR = 40
"""Characters from a side to its letter, at most."""
LISTED = 4
"""Letters that are put side by side behind the first, at most."""
FILLERS = 3


def without_undecided(text: str, letters: Iterable[str], tag: str | None) -> str:
    """Return a cleaned reply with the letters blanked between which it does not choose, every other sign in its place.

    Args:
        text: Cleaned reply.
        letters: Letters of the options.
        tag: Language of the question; None where it is not known.
    """
    words = _patterns("".join(letters), tag and known_as(tag), revision())
    plain = lowered(text)
    if not words.any_sign.search(plain):  # as in nearly every reply
        return text
    spans = {span for found in (_conditional, _dependent, _side_by_side, _together) for span in found(plain, words)}
    signs = list(text)
    for start, end in spans:
        signs[start:end] = " " * (end - start)
    return "".join(signs)


class _Words(NamedTuple):
    any_sign: re.Pattern[str]
    label: re.Pattern[str]
    conditional: re.Pattern[str]
    """A condition, and the letter that holds in it."""
    dependence: re.Pattern[str]
    sided: re.Pattern[str]
    """A side, and the letter that is on it."""
    joined: re.Pattern[str]
    """Letters with an "and" between them."""
    both: re.Pattern[str]
    """What says of two that they are right."""
    denied: re.Pattern[str]


def _conditional(plain: str, words: _Words) -> list[tuple[int, int]]:
    return _if_several(plain, [found.span(1) for found in words.conditional.finditer(plain)])


def _dependent(plain: str, words: _Words) -> Iterator[tuple[int, int]]:
    """The letters of a sentence that says what they depend on, or of the next where it has none."""
    sentences = [found.span() for found in SENTENCES.finditer(plain)]
    for (start, end), (_, following) in pairwise([*sentences, (0, len(plain))]):
        if words.dependence.search(plain, start, end):
            named = [found.span() for found in words.label.finditer(plain, start, end)]
            named = named or [found.span() for found in words.label.finditer(plain, start, following)]
            yield from _if_several(plain, named)


def _side_by_side(plain: str, words: _Words) -> Iterator[tuple[int, int]]:
    for sentence in SENTENCES.finditer(plain):
        found = list(words.sided.finditer(plain, *sentence.span()))
        if len({side[1] for side in found}) > 1:
            yield from _if_several(plain, [side.span(2) for side in found])


def _together(plain: str, words: _Words) -> Iterator[tuple[int, int]]:
    for clause in re.finditer(f"{WITHIN}+", plain):
        pairs = list(words.joined.finditer(plain, *clause.span()))
        if pairs and words.both.search(clause[0]) and not words.denied.search(clause[0]):
            for pair in pairs:
                yield from _if_several(plain, [found.span() for found in words.label.finditer(plain, *pair.span())])


def _if_several(plain: str, spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    return spans if len({plain[start:end] for start, end in spans}) > 1 else []


@lru_cache(maxsize=128)
def _patterns(letters: str, known: str | None, revision: int) -> _Words:
    every = known_languages()
    entries = list(every.values()) if known is None else [every[code] for code in dict.fromkeys((known, "en"))]

    def words(*kinds: str) -> str:
        return any_phrase(word for entry in entries for kind in kinds for word in getattr(entry, kind))

    own = {clean(sign) for entry in entries for sign, letter in entry.labels.items() if letter in letters}
    signs = "".join(re.escape(sign) for sign in own if len(sign) == 1 and sign not in NUMERALS)
    label = rf"(?:(?<![{LATIN}])[{letters}](?![{LATIN}])" + (rf"|(?<!\w)و?[{signs}](?!\w))" if signs else ")")
    filler = any_phrase(
        word for entry in entries for word in (*entry.fillers, *entry.articles, *entry.option) if word.isalpha()
    )
    run = rf"(?:{filler}\s*){{0,{FILLERS}}}"
    joiners = [word for entry in entries for word in entry.joiners if word not in entry.alternatives]
    joiner = rf"\s*(?:[,،、]\s*(?:{any_phrase(joiners)})?|{any_phrase(joiners)}|(?=و))\s*{run}"
    conditions, dependences, sides = words("conditions"), words("dependences"), words("sides")
    both = words("both", "affirmations")
    return _Words(
        *map(
            re.compile,
            (
                f"{conditions}|{dependences}|{sides}|{both}",
                label,
                rf"{conditions}{WITHIN}{{0,{REACH}}}?({label})",
                dependences,
                rf"({sides})[^,;.،；，]{{0,{NEAR}}}?({label})",
                rf"{label}(?:{joiner}{label}){{1,{LISTED}}}",
                both,
                words("negations", "denials", "turns", "only"),
            ),
        )
    )
