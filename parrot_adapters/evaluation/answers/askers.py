"""Two ways to ask: let the model write a reply, or compare how likely it finds each option."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from parrot_adapters.evaluation.answers.host_protocol import Answer, Host
from parrot_adapters.evaluation.benchmark.questions import Question

__all__ = ["Asker", "OptionAsker", "ReplyAsker", "choose", "option_values"]

HALF_PRECISION = ("bfloat16", "float16")


class Asker(Protocol):
    """Answers batches of questions."""

    def encode(self, batch: Sequence[Question]) -> Any:
        """What :meth:`answer` needs; runs in another thread."""

    def answer(self, batch: Sequence[Question], keys: Sequence[str], encoded: Any) -> list[Answer]:
        """One answer a question."""

    def same(self, one: Answer, other: Answer) -> bool:
        """Do two answers to one question agree as they should, whatever shared their batch?"""


class ReplyAsker:
    """The model writes a reply, greedily."""

    def __init__(self, host: Host, max_new_tokens: int) -> None:
        self.host, self.max_new_tokens = host, max_new_tokens

    def encode(self, batch: Sequence[Question]) -> Any:
        return self.host.encode(batch)

    def answer(self, batch: Sequence[Question], keys: Sequence[str], encoded: Any) -> list[Answer]:
        replies = self.host.generate(encoded, self.max_new_tokens)
        return [answer.to(question, key) for question, key, answer in zip(batch, keys, replies, strict=True)]

    def same(self, one: Answer, other: Answer) -> bool:
        return one.prediction == other.prediction


class Scorer(Protocol):
    """Log-likelihoods of the options of a batch."""

    shared: bool

    def encode(self, asked: Sequence[Question]) -> Any:
        """What :meth:`score` needs; runs in another thread."""

    def score(self, asked: Sequence[Question], inputs: Any) -> list[Answer]:
        """One result a question."""

    def as_generated(self, question: Question) -> tuple[str, float]:
        """A letter, and the log-likelihood of its option's text as ``generate`` finds it."""


class OptionAsker:
    """The model says how likely each option is."""

    def __init__(self, host: Host, scorer: Scorer) -> None:
        self.host, self.scorer = host, scorer
        self.tolerance = 0.05 if host.identity.get("dtype") in HALF_PRECISION else 1e-3

    def encode(self, batch: Sequence[Question]) -> Any:
        return self.scorer.encode(batch)

    def answer(self, batch: Sequence[Question], keys: Sequence[str], encoded: Any) -> list[Answer]:
        asked = [question for question in batch if question.options]
        if len(asked) < len(batch):  # rows without options have nothing to score
            encoded = self.scorer.encode(asked) if asked else None
        scores = iter(self.scorer.score(asked, encoded) if asked else [])
        return [
            (_rounded(next(scores)) if question.options else Answer(None)).to(question, key)
            for question, key in zip(batch, keys, strict=True)
        ]

    def same(self, one: Answer, other: Answer) -> bool:
        if one.scores is None or other.scores is None:
            return one.scores == other.scores
        return all(
            abs(value - other.scores[kind][letter]) <= self.tolerance
            for kind, by_letter in one.scores.items()
            for letter, value in by_letter.items()
        )


def _rounded(answer: Answer) -> Answer:
    """Likelihoods as they are kept: what is beyond five digits differs by batch and machine."""
    kinds = (answer.scores or {}).items()
    return replace(
        answer,
        scores={kind: {letter: round(value, 5) for letter, value in by_letter.items()} for kind, by_letter in kinds},
    )


def option_values(scores: Mapping[str, Mapping[str, float]], kind: str, options: Mapping[str, str]) -> dict[str, float]:
    """One number an option, the higher the likelier.

    Args:
        scores: an answer's.
        kind: ``letter``; ``text``, the whole text's log-likelihood; ``text-per-token`` or ``text-per-byte``, the same
            by its length, so that long options are not punished.
        options: the texts by letter.
    """
    if kind in ("letter", "text"):
        return dict(scores[kind])
    sizes = scores["tokens"] if kind == "text-per-token" else {k: len(t.encode()) for k, t in options.items()}
    return {letter: value / max(1, sizes[letter]) for letter, value in scores["text"].items()}


def choose(values: Mapping[str, float]) -> str:
    """The likeliest option; of equals the first."""
    return max(sorted(values), key=lambda letter: values[letter])
