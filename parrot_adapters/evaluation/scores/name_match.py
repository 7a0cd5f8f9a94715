"""Is a free reply the name that was asked for, and how near is it?"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import Any

from parrot_adapters.errors import MissingDependencyError

__all__ = ["CharacterF", "exactly", "plain"]


def exactly(reply: str, name: str) -> bool:
    """Whether a reply is the name and nothing else, but for case, width, spaces and punctuation at its ends."""
    return plain(reply) == plain(name)


def plain(text: str) -> str:
    """What :func:`exactly` compares: NFKC, case folded, single spaces, no punctuation at the ends.

    >>> plain(" A  Red Apple. "), plain("Ｃａｔ！"), plain("Kirschblüte")
    ('a red apple', 'cat', 'kirschblüte')
    """
    words = unicodedata.normalize("NFKC", text).casefold().split()
    kept = " ".join(words)
    start, end = 0, len(kept)
    while start < end and _is_edge(kept[start]):
        start += 1
    while end > start and _is_edge(kept[end - 1]):
        end -= 1
    return unicodedata.normalize("NFKC", kept[start:end])


class CharacterF:
    """chrF2 of single replies, as sacrebleu computes it (Popović 2015, character n-grams up to 6).

    Raises:
        MissingDependencyError: sacrebleu is not installed.
    """

    def __init__(self) -> None:
        try:
            from sacrebleu.metrics.chrf import CHRF
        except ImportError as error:
            raise MissingDependencyError(
                "chrF needs sacrebleu\n  to do  pip install 'parrot_adapters[evaluate]'"
            ) from error
        self._metric: Any = CHRF()

    def __call__(self, reply: str, name: str) -> float:
        """From 0 to 1."""
        return float(self._metric.sentence_score(reply, [name]).score) / 100

    def mean(self, pairs: Sequence[tuple[str, str]]) -> float:
        """The plain mean over (reply, name) pairs: sentences weigh alike, however long they are."""
        return sum(self(reply, name) for reply, name in pairs) / len(pairs)

    @property
    def signature(self) -> str:
        """sacrebleu's description of the metric and of its own version."""
        self._metric.sentence_score("a", ["a"])  # it knows its number of references only then
        return f"mean of sentence scores, {self._metric.get_signature()}"


def _is_edge(character: str) -> bool:
    return character.isspace() or unicodedata.category(character)[0] in "PZC"
