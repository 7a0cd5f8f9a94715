"""Options that a reply mentions beside the one it means: the table in "the lamp on the table", "桌子上的台灯"."""

from __future__ import annotations

from collections.abc import Mapping

from parrot_adapters.evaluation.matching.text_forms import UNSPACED, joined, script
from parrot_adapters.evaluation.matching.vocabulary import Vocabulary

__all__ = ["without_asides"]

REACH = 40
"""Characters beside an option in which the word that makes it an aside stands."""


def without_asides(said: str, spans: Mapping[str, list[tuple[int, int]]], known: Vocabulary) -> set[str]:
    """Return the options that are mentioned otherwise than behind an "on" or "near", which some languages put behind.

    Args:
        said: Folded reply.
        spans: Where each option stands in it.
        known: Words of the language.
    """
    main: set[str] = set()
    was_aside = False
    for start, end, letter in sorted((*span, letter) for letter, found in spans.items() for span in found):
        before = said[max(0, start - REACH) : start]
        words = [word for word in before.split() if word not in known.articles]
        last = "" if before.rstrip().endswith((",", ".", ";", ":")) else (words or [""])[-1]
        was_aside = (
            (was_aside and last in known.joiners)
            or last in known.relations
            or (last and " ".join(words[-2:]) in known.relations)
            or _is_behind_unspaced(before, known)
            or _is_placed(said, end, known)
        )
        if not was_aside:
            main.add(letter)
    return main


def _is_behind_unspaced(before: str, known: Vocabulary) -> bool:
    return any(script(word[0]).startswith(UNSPACED) and before.endswith(word) for word in known.relations)


def _is_placed(said: str, end: int, known: Vocabulary) -> bool:
    """True in front of "上" or "üzerinde", and with an ending that says where: "masada"."""
    if any(script(word[0]).startswith(UNSPACED) and said.startswith(word, end) for word in known.places):
        return True
    stop = end
    while 0 < stop < len(said) and joined(said[stop - 1], said[stop]):
        stop += 1
    ending = said[end:stop]
    if ending and any(ending.startswith(case) for case in known.cases):
        return True
    following = said[stop : stop + REACH].split()
    return bool(following) and following[0].strip(".,;:!") in known.places
