"""Answers of a host that may fail: which question it fails at, and what it says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

import torch

from parrot_adapters.errors import HostError, ParrotError, explain, first_line
from parrot_adapters.evaluation.answers.askers import Asker
from parrot_adapters.evaluation.answers.host_protocol import Answer
from parrot_adapters.evaluation.benchmark.questions import Question
from parrot_adapters.evaluation.benchmark.subsets import named
from parrot_adapters.hosts.host_failures import host_says, raised_at

__all__ = ["answer_batch", "answer_or_name", "where"]

Pairs = Sequence[tuple[Question, str]]
"""Questions, and the keys of their answers."""


def answer_batch(asker: Asker, pairs: Pairs, encoded: Any = None) -> list[Answer]:
    """One answer a question, or whatever the host raises.

    Args:
        asker: Asks.
        pairs: Questions of one batch.
        encoded: What the asker made of them; None (default) to make it.
    """
    batch = [question for question, _ in pairs]
    return asker.answer(batch, [key for _, key in pairs], asker.encode(batch) if encoded is None else encoded)


def answer_or_name(asker: Asker, pairs: Pairs, encoded: Any = None) -> list[Answer]:
    """One answer a question; where the host fails, the question that it fails at is named.

    Args:
        asker: Asks.
        pairs: Questions of one batch.
        encoded: What the asker made of them; None (default) to make it.

    Raises:
        HostError: The host fails, or has no memory for the batch.
    """
    try:
        return answer_batch(asker, pairs, encoded)
    except (ParrotError, torch.OutOfMemoryError) as error:
        _say(pairs, error)
    except Exception as error:  # whatever a stranger's code raises
        _say(*_alone(asker, pairs, error))


def where(question: Question) -> str:
    """A question as messages name it."""
    return f"{question.subset} {question.index}"


def _alone(asker: Asker, pairs: Pairs, error: Exception) -> tuple[Pairs, Exception]:
    """The first of some questions that fails alone too, and how; all of them where none does."""
    if len(pairs) > 1 and not isinstance(error, torch.AcceleratorError):  # after which a device computes nothing
        for pair in pairs:
            try:
                answer_batch(asker, [pair])
            except Exception as own:
                return [pair], own
    return pairs, error


def _say(pairs: Pairs, error: Exception) -> NoReturn:
    rows = named(where(question) for question, _ in pairs)
    if isinstance(error, ParrotError):
        if rows not in str(error):
            error.args = (explain(str(error), rows=rows),)
        raise error
    smaller = "a smaller --batch-size" if len(pairs) > 1 else None
    if isinstance(error, torch.OutOfMemoryError):
        to_do = smaller or "a device with more memory, --dtype bfloat16, or fewer pixels (--processor)"
        message = explain("the device ran out of memory.", rows=rows, torch_says=first_line(error), to_do=to_do)
        raise HostError(message) from error
    what = "the host fails at a question." if smaller is None else "the host fails at these questions together."
    message = explain(
        what,
        row=rows if smaller is None else None,
        rows=rows if smaller is not None else None,
        because=host_says(error),
        raised_at=raised_at(error),
        to_do=smaller and "--batch-size 1 asks one by one; the answers so far stay",
    )
    raise HostError(message) from error
