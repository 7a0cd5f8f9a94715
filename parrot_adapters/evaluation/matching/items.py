"""Statements that a reply judges one by one, where options say which of them hold: "only I is true", "both are"."""

from __future__ import annotations

import re
from collections.abc import Mapping

from parrot_adapters.evaluation.matching.groups import group_kinds, group_words
from parrot_adapters.evaluation.matching.text_forms import fold
from parrot_adapters.evaluation.matching.vocabulary import Vocabulary
from parrot_adapters.evaluation.matching.word_forms import words_of

__all__ = ["judged_choice"]

CLAUSES = re.compile(r"[,;!?\n，；。！？،؛]|(?<![IVXivx0-9])\.(?=\s|$)")
LONGEST = 2000
"""Characters of a reply that is looked through, from its end."""


def judged_choice(said: str, options: Mapping[str, str], tag: str | None, known: Vocabulary) -> str | None:
    """Return the option that says of each statement what the reply says of it.

    Args:
        said: Reply.
        options: Option texts by letter.
        tag: Language of the question.
        known: Words of the language.
    """
    words = group_words(tag)
    alone = {letter: {*words_of(text)} for letter, text in options.items() if words.patterns["only"].search(fold(text))}
    if len(alone) != 2:
        return None
    (a, first), (b, second) = alone.items()
    if len(first - second) != 1 or len(second - first) != 1:
        return None
    items = {(first - second).pop(): a, (second - first).pop(): b}
    verdicts: dict[str, bool] = {}
    for clause in CLAUSES.split(said[-LONGEST:]):
        for part in re.split(rf"(?<!\w)(?:{'|'.join(map(re.escape, words.joiners)) or '(?!)'})(?!\w)", fold(clause)):
            mine = words_of(part)
            judged = [items[word] for word in mine if word in items]
            if len(judged) == 1 and (verdict := _verdict(part, known)) is not None:
                verdicts[judged[0]] = verdict
    if len(verdicts) != 2:
        return None
    right = [letter for letter, verdict in verdicts.items() if verdict]
    if len(right) == 1:
        return right[0]
    rest = group_kinds({letter: fold(text) for letter, text in options.items() if letter not in alone}, words)
    meant = rest["both"] if right else rest["neither"]
    return meant[0] if len(meant) == 1 else None


def _verdict(clause: str, known: Vocabulary) -> bool | None:
    """What a clause calls the one statement in it."""
    if known.rejected.search(clause):
        return False
    return True if known.accepted.search(clause) else None
