"""What the miniature's vocabulary makes of each language: `parrot emoji languages`.

It was learned from names in six languages and has no byte fallback: a letter that these never write becomes `<unk>`,
and two names that differ in such letters alone become the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from .concepts import Concept
from .languages import CODES, EVERY_LANGUAGE, Language
from .names import name_of
from .tokenizer import Vocabulary

__all__ = ["Coverage", "coverage"]


@dataclass(frozen=True)
class Coverage:
    """One language as the vocabulary sees it.

    Attributes:
        language: which.
        trained: the text model was trained in it.
        tokens: mean number of tokens of a name.
        unknown: share of them that are `<unk>`.
        distinct: share of names that are unlike all others once they are tokens.
    """

    language: Language
    trained: bool
    tokens: float
    unknown: float
    distinct: float


def coverage(vocabulary: Vocabulary, concepts: Sequence[Concept]) -> list[Coverage]:
    """Every language of the benchmark."""
    found = []
    for language in EVERY_LANGUAGE:
        ids = [tuple(vocabulary.name(name_of(concept, language.code))) for concept in concepts]
        tokens = sum(map(len, ids))
        alone = sum(count == 1 for count in Counter(ids).values())
        unknown = sum(name.count(vocabulary.unknown) for name in ids)
        trained = language.code in CODES
        found.append(Coverage(language, trained, tokens / len(ids), unknown / tokens, alone / len(ids)))
    return found
