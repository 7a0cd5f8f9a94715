"""The recipe's language detector: there are six questions, so the question says which language it is in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from parrot_recipes.emoji.languages import LANGUAGES
from torch import Tensor

import parrot_adapters as pa

__all__ = ["QuestionDetector", "register_detectors"]


class QuestionDetector:
    """Compare the text that steers with the six questions, token by token.

    Args:
        tokenizer: the host's.
    """

    def __init__(self, tokenizer: Any) -> None:
        self.languages = {
            tuple(tokenizer.encode(language.question, add_special_tokens=False)): language.code
            for language in LANGUAGES
        }

    def __call__(self, token_ids: Tensor, text_mask: Tensor) -> list[str | None]:
        """(R, S) ids and (R, S) bool -> a tag or None per row."""
        rows = zip(token_ids.cpu(), text_mask.cpu(), strict=True)
        return [self.languages.get(tuple(ids[mask].tolist())) for ids, mask in rows]


@pa.hookimpl
def register_detectors(register: Callable[[str, type[QuestionDetector]], None]) -> None:
    register("emoji-question", QuestionDetector)
