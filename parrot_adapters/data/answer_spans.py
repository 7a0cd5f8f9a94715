"""Find the answers among the token ids that a processor made.

A processor widens each placeholder to as many tokens as its picture has, frames and line breaks included, so positions
in the plain text say nothing about positions in the ids. But away from pictures the ids are those of the plain text. So
the plain text is tokenised beside, and each answer is found again: by counting from the end where no picture follows,
from the beginning where none came before, else by what lies between the two pictures around it. What is found is
compared id by id; a sample for which that fails is refused, never labelled by guess.

F  ids of the plain text    E  ids as the processor made them
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from parrot_adapters.data.chat_text import Written
from parrot_adapters.data.problems import BadSample

__all__ = ["Labelled", "find_answers"]

EDGE = 3  # ids beside a picture that may merge with the line breaks of its frame
ANCHORS = ("\n", ".", "a")  # texts after which a piece of text is tokenised as it is inside a sentence

Tokenize = Callable[[str], list[int]]


@dataclass(frozen=True)
class Labelled:
    """One sample's token ids and answers.

    Attributes:
        ids: the final ids. E itself, except where a token would have reached from a prompt into its answer.
        origin: for each of ``ids`` the position in E that it came from, or next to which it was put.
        answers: (begin, end) positions in ``ids``, in order.
    """

    ids: list[int]
    origin: list[int]
    answers: tuple[tuple[int, int], ...]


def find_answers(
    written: Written,
    plain: list[int],
    ids: Sequence[int],
    tokenize: Tokenize,
    *,
    plainly: Tokenize,
    placeholders: Collection[int],
) -> Labelled:
    """The answers of one sample.

    Args:
        written: its text.
        plain: F.
        ids: E, without padding.
        tokenize: as the processor does, special tokens in front included, none behind.
        plainly: the same without special tokens.
        placeholders: ids that stand for a picture in F.

    Raises:
        BadSample: the processor's ids are not those of the text.
    """
    places = _Places(plain, list(ids), frozenset(placeholders))
    final: list[int] = []
    origin: list[int] = []
    answers: list[tuple[int, int]] = []
    done = 0  # of E
    for begin, end in written.answers:
        prompt, whole = tokenize(written.text[:begin]), tokenize(written.text[:end])
        shared, last = _common(prompt, plain), _common(whole, plain)
        shift = places.shift(shared, last)
        first, stop = shared + shift, last + shift
        final += ids[done:first]
        origin += range(done, first)
        answer = list(ids[first:stop])
        if shared < len(prompt):  # a token reaches from the prompt into the answer; at inference it cannot
            if last < len(whole):
                done = first  # and another out of its end: leave the text alone, learn the other answers
                continue
            rest = prompt[shared:]
            final += rest
            origin += [first] * len(rest)
            answer = _continued(written.text[begin:end], plainly)
            origin += [first] * len(answer)
        else:
            origin += range(first, stop)
        answers.append((len(final), len(final) + len(answer)))
        final += answer
        done = stop
    final += ids[done:]
    origin += range(done, len(ids))
    return Labelled(final, origin, tuple(answers))


class _Places:
    """Where stretches of F are in E; asked from left to right."""

    def __init__(self, plain: list[int], ids: list[int], placeholders: frozenset[int]) -> None:
        self.plain, self.ids = plain, ids
        self._placeholders = placeholders
        self._from = 0  # of E: where the last stretch found between pictures ended
        self._left, self._shift = -1, 0  # of F: where it began; and its shift

    def shift(self, begin: int, end: int) -> int:
        """How much further right ``plain[begin:end]`` stands in E."""
        plain, ids = self.plain, self.ids
        right = len(ids) - len(plain)
        if ids[begin + right :] == plain[begin:]:
            return right
        if ids[:end] == plain[:end]:
            return 0
        return self._between_pictures(begin, end)

    def _between_pictures(self, begin: int, end: int) -> int:
        plain, ids = self.plain, self.ids
        left = next((i + 1 for i in range(begin - 1, -1, -1) if plain[i] in self._placeholders), 0)
        if left == self._left:
            return self._shift  # of an earlier answer between the same two pictures
        right = next((i for i in range(end, len(plain)) if plain[i] in self._placeholders), len(plain))
        first, last = min(left + EDGE, begin), max(right - EDGE, end)
        sought = plain[first:last]
        # Never before `first`, as placeholders only widen: the same words may have been said before the first picture.
        for at in range(max(self._from, first), len(ids) - len(sought) + 1):
            if ids[at] == sought[0] and ids[at : at + len(sought)] == sought:
                self._from, self._left, self._shift = at + len(sought), left, at - first
                return self._shift
        raise BadSample("template", "an answer is not where the processor's token ids should have it")


def _continued(text: str, plainly: Tokenize) -> list[int]:
    """Ids of a text that follows other text: without the space that some tokenizers put in front."""
    for anchor in ANCHORS:
        alone, together = plainly(anchor), plainly(anchor + text)
        if alone and together[: len(alone)] == alone:
            return together[len(alone) :]
    raise BadSample("template", "the tokenizer cannot tell the answer from its prompt")


def _common(a: Sequence[int], b: Sequence[int]) -> int:
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
