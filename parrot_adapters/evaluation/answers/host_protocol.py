"""What the evaluation needs of a model, as a protocol: nothing here knows torch or transformers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from parrot_adapters.evaluation.benchmark.questions import Question

__all__ = ["Answer", "Host"]


@dataclass(frozen=True)
class Answer:
    """What a model answered to one question; a line of ``answers.jsonl``, of which ``parrot score`` reads three keys.

    Attributes:
        prediction: The reply; None where options were scored.
        finished: False where ``max_new_tokens`` cut the reply off.
        routing: Mean routing weights of the question's pictures, where an adapter is attached.
        scores: Log-likelihoods of the options by letter: of the ``letter`` itself and of its ``text``, each summed over
            its tokens, and how many ``tokens`` the text has; None where a reply was written.
        key: What the answer is found by again; empty until it is known what it answers.
        lang: Language of the question.
        index: Row of the question.
    """

    prediction: str | None
    finished: bool = True
    routing: list[float] | None = None
    scores: Mapping[str, Mapping[str, float]] | None = None
    key: str = ""
    lang: str = ""
    index: int = -1

    def to(self, question: Question, key: str) -> Answer:
        """Return the answer with what it answers written on it.

        Args:
            question: Question it answers.
            key: Hash of all that decides the answer.
        """
        return replace(self, key=key, lang=question.language, index=question.index)


class Host(Protocol):
    """A model that answers questions about pictures."""

    identity: Mapping[str, Any]
    """Digests of weights, settings, processor and adapter: what makes an answer reusable."""

    def render(self, prompt: str, pictures: int) -> str:
        """The prompt in the host's chat format."""

    def lengths(self, asked: Sequence[Question]) -> list[int]:
        """About how many tokens each prompt has."""

    def encode(self, asked: Sequence[Question]) -> Any:
        """A batch; runs in another thread than the model."""

    def generate(self, inputs: Any, max_new_tokens: int) -> list[Answer]:
        """A greedy reply for each row."""
