"""The questions: what is in the picture, and which three wrong names stand beside the right one; and which of two
pictures shows what is named.

Every concept gets the same question in every language (same picture, same options, same place of the answer), so
languages can be compared question by question. Everything is drawn by hash: no seed, no order, no surprise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .concepts import Concept, stable_fraction

__all__ = ["LETTERS", "Comparison", "Question", "make_comparisons", "make_questions"]

LETTERS = "ABCD"


@dataclass(frozen=True)
class Question:
    concept: int  # index into the concepts
    options: tuple[int, ...]  # indices of four concepts of one category; one of them is `concept`

    @property
    def answer(self) -> int:
        """The place of the right option."""
        return self.options.index(self.concept)

    @property
    def letter(self) -> str:
        return LETTERS[self.answer]


def make_questions(concepts: Sequence[Concept]) -> list[Question]:
    """One question for each concept whose category has at least three others."""
    questions = []
    for index, concept in enumerate(concepts):
        others = [i for i, other in enumerate(concepts) if other.category == concept.category and i != index]
        if len(others) < len(LETTERS) - 1:
            continue
        others.sort(key=lambda i: stable_fraction(f"option/{concept.code}/{concepts[i].code}"))
        options = others[: len(LETTERS) - 1]
        options.insert(int(stable_fraction(f"answer/{concept.code}") * len(LETTERS)), index)
        questions.append(Question(index, tuple(options)))
    return questions


@dataclass(frozen=True)
class Comparison:
    shown: tuple[int, int]  # indices of two concepts of one category and one split
    place: int  # of the one that is named

    @property
    def concept(self) -> int:
        """The one that is named."""
        return self.shown[self.place]

    @property
    def letter(self) -> str:
        return LETTERS[self.place]


def make_comparisons(concepts: Sequence[Concept]) -> list[Comparison]:
    """Pairs of concepts; no concept is in two, so that no picture is written twice."""
    groups: dict[tuple[str, str], list[int]] = {}
    for index, concept in enumerate(concepts):
        groups.setdefault((concept.category, concept.split), []).append(index)
    comparisons = []
    for members in groups.values():
        members.sort(key=lambda i: stable_fraction(f"comparison/{concepts[i].code}"))
        for first, second in zip(members[::2], members[1::2], strict=False):
            place = int(stable_fraction(f"place/{concepts[first].code}/{concepts[second].code}") * 2)
            comparisons.append(Comparison((first, second), place))
    return sorted(comparisons, key=lambda comparison: comparison.shown)
