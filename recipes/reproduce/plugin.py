"""The recipe's own parts: a language detector that knows its six questions, and a router that starts out decided."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from parrot_recipes.emoji.languages import LANGUAGES
from torch import Tensor, nn

import parrot_adapters as pa
from parrot_adapters.core import TextGuidedRouter

__all__ = ["QuestionDetector", "SharpRouter", "register_detectors", "register_routers"]


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


class SharpRouter(TextGuidedRouter):
    """The paper's router with its initial gate scaled up, so that prompts start out with experts of their own.

    Args:
        width: D.
        num_experts: E.
        sharpness: factor of the initial gate.
        options: of :class:`parrot_adapters.core.TextGuidedRouter`.
    """

    def __init__(self, width: int, num_experts: int, *, sharpness: float = 1.0, **options: Any) -> None:
        super().__init__(width, num_experts, **options)
        with torch.no_grad():
            self.gate.mul_(sharpness)


@pa.hookimpl
def register_detectors(register: Callable[[str, type[QuestionDetector]], None]) -> None:
    register("emoji-question", QuestionDetector)


@pa.hookimpl
def register_routers(register: Callable[[str, type[nn.Module]], None]) -> None:
    register("text-guided-sharp", SharpRouter)
