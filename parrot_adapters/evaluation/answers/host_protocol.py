"""What the evaluation needs of a model, as a protocol: nothing here knows torch or transformers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from parrot_adapters.evaluation.benchmark.questions import Question

__all__ = ["Asked", "Host", "OptionScores", "Reply"]

Asked = Question


class Reply(NamedTuple):
    """What a model said."""

    text: str
    finished: bool
    """False where ``max_new_tokens`` cut it off."""
    routing: list[float] | None
    """Mean routing weights of the row's pictures, where an adapter is attached."""


class OptionScores(NamedTuple):
    """Log-likelihoods of a question's options."""

    letter: dict[str, float]
    """Of the option's letter, summed over its tokens."""
    text: dict[str, float]
    """Of the option's text, summed over its tokens."""
    tokens: dict[str, int]
    """How many tokens the option's text has."""
    routing: list[float] | None


class Host(Protocol):
    """A model that answers questions about pictures."""

    identity: Mapping[str, Any]
    """Digests of weights, settings, processor and adapter: what makes an answer reusable."""

    def render(self, prompt: str, pictures: int) -> str:
        """The prompt in the host's chat format."""

    def lengths(self, asked: Sequence[Asked]) -> list[int]:
        """About how many tokens each prompt has."""

    def encode(self, asked: Sequence[Asked]) -> Any:
        """A batch; runs in another thread than the model."""

    def generate(self, inputs: Any, max_new_tokens: int) -> list[Reply]:
        """A greedy reply for each row."""
