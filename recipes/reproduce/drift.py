"""What a remedy does to the rest of the language model: prompts without pictures, before and after.

B  texts    S  tokens    T  predicted tokens of all texts    W  words of the vocabulary
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
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

__all__ = ["Reading", "TextDrift", "read_once", "read_text", "text_drift"]

ANSWER_TOKENS = 12  # of a greedy answer


@dataclass(frozen=True)
class TextDrift:
    """One language, after against before.

    Attributes:
        before: perplexity of the untouched model on the held-out sentences.
        after: the same of the trained one.
        before_with_end: the same with the end of the text as one more token of each sentence.
        after_with_end: the same of the trained one. An untuned model hardly ever ends a text after one sentence, and
            whatever is trained on short answers learns to: this hides what happens to the sentences.
        agreement: share of text-only questions whose greedy answers are the same, token by token.
        identical: whether all logits of the held-out sentences are the same bits.
    """

    before: float
    after: float
    before_with_end: float
    after_with_end: float
    agreement: float
    identical: bool

    @property
    def change(self) -> float:
        """Of perplexity, relative: 0.01 is one per cent worse."""
        return self.after / self.before - 1


@dataclass(frozen=True)
class Reading:
    """How a model reads and answers plain text, by language.

    Attributes:
        losses: mean next-token loss on the held-out sentences; its exponential is the perplexity.
        losses_with_end: the same with the end of the text as one more token of each sentence.
        logits: hash of all logits of the sentences.
        answers: greedy answers to the text-only questions, as token ids.
    """

    losses: Mapping[str, float]
    losses_with_end: Mapping[str, float]
    logits: Mapping[str, str]
    answers: Mapping[str, list[list[int]]]


@torch.inference_mode()
def read_text(host: LlavaForConditionalGeneration, vocabulary: Vocabulary) -> Reading:
    """Let a host, in evaluation mode and with whatever is attached to it, read and answer plain text."""
    losses, with_end, digests, answers = {}, {}, {}, {}
    for language in CODES:
        ids, mask = _padded([_sentence(vocabulary, text) for text in SENTENCES[language]], vocabulary.pad, "right")
        logits = _logits(host, ids, mask, language).cpu()  # (T, W)
        targets = ids[:, 1:][mask[:, 1:].bool()]
        each = cross_entropy(logits, targets, reduction="none")  # (T,)
        losses[language] = float(each[targets != vocabulary.eos].mean())
        with_end[language] = float(each.mean())
        digests[language] = hashlib.sha256(logits.numpy().tobytes()).hexdigest()[:16]
        answers[language] = _answers(host, vocabulary, language)
    return Reading(losses, with_end, digests, answers)


def read_once(path: Path, read: Callable[[], Reading]) -> Reading:
    """A reading that is kept in a file."""
    if not path.exists():
        scratch = path.with_suffix(f".{os.getpid()}.part")
        scratch.write_text(json.dumps(asdict(read())), encoding="utf-8")
        os.replace(scratch, path)
    return Reading(**json.loads(path.read_text(encoding="utf-8")))


def text_drift(trained: Reading, untouched: Reading) -> dict[str, dict[str, Any]]:
    """:class:`TextDrift` of every language, as plain data."""
    found = {}
    for language in CODES:
        replies = list(zip(trained.answers[language], untouched.answers[language], strict=True))
        found[language] = asdict(
            TextDrift(
                before=math.exp(untouched.losses[language]),
                after=math.exp(trained.losses[language]),
                before_with_end=math.exp(untouched.losses_with_end[language]),
                after_with_end=math.exp(trained.losses_with_end[language]),
                agreement=sum(ours == theirs for ours, theirs in replies) / len(replies),
                identical=trained.logits[language] == untouched.logits[language],
            )
        )
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
