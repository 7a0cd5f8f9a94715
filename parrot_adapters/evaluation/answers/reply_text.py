"""From stored answers to what the matchers read."""

from __future__ import annotations

import re

from parrot_adapters.evaluation.answers.askers import choose, option_values
from parrot_adapters.evaluation.answers.host_protocol import Answer
from parrot_adapters.evaluation.benchmark.questions import Question

__all__ = ["reply", "without_thoughts"]

THOUGHT = re.compile(r"<think>.*?(?:</think>|\Z)", re.DOTALL | re.IGNORECASE)
END = re.compile(r".*</think>", re.DOTALL | re.IGNORECASE)


def reply(question: Question, answer: Answer, *, think: str, option_score: str) -> str | None:
    """The text that counts as the answer: the reply, or the letter of the likeliest option.

    Args:
        question: what was asked.
        answer: what was stored.
        think: ``keep`` or ``strip`` thoughts.
        option_score: which log-likelihood chooses.
    """
    if answer.scores is not None:
        return choose(option_values(answer.scores, option_score, question.options))
    if answer.prediction is None or think == "keep":
        return answer.prediction
    return without_thoughts(answer.prediction)


def without_thoughts(text: str) -> str:
    """A reply without ``<think>...</think>``; the opening tag may be in the prompt, the closing one be cut off.

    >>> without_thoughts("<think>A or B?</think> B"), without_thoughts("hm</think>C"), without_thoughts("<think>A ...")
    ('B', 'C', '')
    """
    return END.sub("", THOUGHT.sub("", text)).strip()
