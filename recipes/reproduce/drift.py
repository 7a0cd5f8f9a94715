"""What a remedy does to the rest of the language model: prompts without pictures, before and after.

B  texts    S  tokens    T  predicted tokens of all texts    W  words of the vocabulary
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch
from parrot_recipes.emoji.declared import declared
from parrot_recipes.emoji.languages import CODES
from parrot_recipes.emoji.plain_text import PLAIN_QUESTIONS, SENTENCES
from torch import Tensor
from torch.nn.functional import cross_entropy

if TYPE_CHECKING:
    from parrot_recipes.emoji.tokenizer import Vocabulary
    from transformers import LlavaForConditionalGeneration

__all__ = ["TextDrift", "text_drift"]

ANSWER_TOKENS = 12  # of a greedy answer


@dataclass(frozen=True)
class TextDrift:
    """One language, after against before.

    Attributes:
        before: perplexity of the untouched model on the held-out sentences.
        after: the same of the trained one.
        agreement: share of text-only questions whose greedy answers are the same, token by token.
        identical: whether all logits of the held-out sentences are the same bits.
    """

    before: float
    after: float
    agreement: float
    identical: bool

    @property
    def change(self) -> float:
        """Of perplexity, relative: 0.01 is one per cent worse."""
        return self.after / self.before - 1


@torch.inference_mode()
def text_drift(
    trained: LlavaForConditionalGeneration, untouched: LlavaForConditionalGeneration, vocabulary: Vocabulary
) -> dict[str, dict[str, Any]]:
    """:class:`TextDrift` of every language, as plain data.

    Args:
        trained: with whatever is attached to it; in evaluation mode.
        untouched: the same host before the training.
        vocabulary: of both.
    """
    found = {}
    for language in CODES:
        ids, mask = _padded([_sentence(vocabulary, text) for text in SENTENCES[language]], vocabulary.pad, "right")
        targets = ids[:, 1:][mask[:, 1:].bool()]  # (T,)
        logits = [_logits(host, ids, mask, language) for host in (untouched, trained)]  # (T, W) each
        before, after = (float(cross_entropy(one, targets.to(one.device)).exp()) for one in logits)
        replies = [_answers(host, vocabulary, language) for host in (untouched, trained)]
        same = sum(ours == theirs for ours, theirs in zip(*replies, strict=True)) / len(replies[0])
        found[language] = asdict(TextDrift(before, after, same, torch.equal(*(one.cpu() for one in logits))))
    return found


def _sentence(vocabulary: Vocabulary, text: str) -> list[int]:
    return [vocabulary.tokenizer.bos_token_id, *vocabulary.encode(text), vocabulary.eos]


def _logits(host: LlavaForConditionalGeneration, ids: Tensor, mask: Tensor, language: str) -> Tensor:
    """Of every token but the first of each text, (T, W), float32."""
    with declared(host, [language] * len(ids)):
        hidden = host.model(
            input_ids=ids.to(host.device), attention_mask=mask.to(host.device), use_cache=False
        ).last_hidden_state[:, :-1]
    logits: Tensor = host.lm_head(hidden[mask[:, 1:].bool().to(host.device)].float())
    return logits


def _answers(host: LlavaForConditionalGeneration, vocabulary: Vocabulary, language: str) -> list[list[int]]:
    """Greedy answers to the text-only questions, as token ids."""
    asked = [
        vocabulary.tokenizer.apply_chat_template(
            [{"role": "user", "content": question}], tokenize=False, add_generation_prompt=True
        )
        for question in PLAIN_QUESTIONS[language]
    ]
    ids, mask = _padded([vocabulary.encode(text) for text in asked], vocabulary.pad, "left")
    with declared(host, [language] * len(ids)):
        generated = host.generate(
            input_ids=ids.to(host.device),
            attention_mask=mask.to(host.device),
            max_new_tokens=ANSWER_TOKENS,
            do_sample=False,
        )
    answers: list[list[int]] = generated[:, ids.shape[1] :].tolist()
    return answers


def _padded(rows: Sequence[list[int]], pad: int, side: str) -> tuple[Tensor, Tensor]:
    """(B, S) ids and attention mask."""
    longest = max(map(len, rows))
    filled = [[pad] * (longest - len(row)) for row in rows]
    ids = [empty + row if side == "left" else row + empty for row, empty in zip(rows, filled, strict=True)]
    mask = [
        [0] * len(empty) + [1] * len(row) if side == "left" else [1] * len(row) + [0] * len(empty)
        for row, empty in zip(rows, filled, strict=True)
    ]
    return torch.tensor(ids), torch.tensor(mask)
