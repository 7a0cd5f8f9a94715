"""Does a model favour a letter, whatever stands behind it?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, pstdev

from parrot_adapters.evaluation.matching.extract_choice import REFUSED

__all__ = ["PositionBias", "position_bias"]


@dataclass(frozen=True)
class PositionBias:
    """Letters chosen against letters that are right.

    Attributes:
        chosen: Share of found choices by letter.
        keyed: Share of right answers by letter, over the same rows.
        accuracy: Accuracy of the rows whose right answer is that letter.
        distance: Total variation between ``chosen`` and ``keyed``: 0 for none, 1 for all.
        spread: Standard deviation of ``accuracy`` over letters (RStd of arXiv 2309.03882).
        not_found: Rows without a choice, or with a refusal.
    """

    chosen: Mapping[str, float]
    keyed: Mapping[str, float]
    accuracy: Mapping[str, float]
    distance: float
    spread: float
    not_found: int


def position_bias(choices: Iterable[tuple[str | None, str]]) -> PositionBias:
    """Compare the letters a model chooses with the letters that are right.

    Meant for circular passes, where each question's right answer visits every letter: there, favouring a letter is
    the model's doing and not the file's.

    Args:
        choices: Choice and right letter of each row. Refusals and choices not found are counted, and left out of the
            shares.
    """
    rows = list(choices)
    found = [(choice, answer) for choice, answer in rows if choice is not None and choice != REFUSED]
    letters = sorted({letter for row in found for letter in row} | {answer for _, answer in rows})
    chosen = _shares(Counter(choice for choice, _ in found), letters)
    keyed = _shares(Counter(answer for _, answer in found), letters)
    accuracy = {
        letter: fmean(choice == letter for choice, answer in rows if answer == letter)
        for letter in letters
        if any(answer == letter for _, answer in rows)
    }
    return PositionBias(
        chosen,
        keyed,
        accuracy,
        sum(abs(chosen[letter] - keyed[letter]) for letter in letters) / 2,
        pstdev(accuracy.values()) if accuracy else 0.0,
        len(rows) - len(found),
    )


def _shares(counts: Mapping[str, int], letters: Sequence[str]) -> dict[str, float]:
    total = sum(counts.values())
    return {letter: counts.get(letter, 0) / total if total else 0.0 for letter in letters}
