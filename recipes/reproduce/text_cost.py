"""What a trained host does with prompts without pictures; for any host and adapter, as a process of its own.

    python -m parrot_recipes.reproduce.text_cost --host HOST [--adapter ADAPTER] --out FILE

The sentences and questions are those of `drift.py`; the vocabulary is the host's own, whole. Texts go through one at a
time, so that no padding is in the numbers.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import torch
from parrot_recipes.emoji.declared import declared
from parrot_recipes.emoji.languages import CODES
from parrot_recipes.emoji.plain_text import PLAIN_QUESTIONS, SENTENCES
from torch import Tensor
from torch.nn.functional import cross_entropy

import parrot_adapters as pa

from .drift import ANSWER_TOKENS, Reading

__all__ = ["read_plain_text"]


@torch.inference_mode()
def read_plain_text(model: Any, tokenizer: Any) -> Reading:
    """Let a host, in evaluation mode and with whatever is attached to it, read and answer plain text.

    Args:
        model: the host.
        tokenizer: of the host.
    """
    losses, digests, answers = {}, {}, {}
    for language in CODES:
        digest = hashlib.sha256()
        each: list[Tensor] = []
        for text in SENTENCES[language]:
            ids = torch.tensor([_sentence(tokenizer, text)], device=model.device)
            with declared(model, [language]):
                logits = model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False).logits[0, :-1]
            logits = logits.float().cpu()
            digest.update(logits.numpy().tobytes())
            each.append(cross_entropy(logits, ids[0, 1:].cpu(), reduction="none"))
        losses[language] = float(torch.cat(each).mean())
        digests[language] = digest.hexdigest()[:16]
        answers[language] = [_answer(model, tokenizer, question, language) for question in PLAIN_QUESTIONS[language]]
    return Reading(losses, dict(losses), digests, answers)


def _sentence(tokenizer: Any, text: str) -> list[int]:
    """With the token that opens a text, where the host has one; never with one that ends it."""
    ids = list(tokenizer.encode(text, add_special_tokens=False))
    return ids if tokenizer.bos_token_id is None else [tokenizer.bos_token_id, *ids]


def _answer(model: Any, tokenizer: Any, question: str, language: str) -> list[int]:
    asked = question
    if tokenizer.chat_template:
        turns = [{"role": "user", "content": question}]
        asked = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    ids = torch.tensor([tokenizer.encode(asked, add_special_tokens=False)], device=model.device)
    with declared(model, [language]):
        made = model.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=ANSWER_TOKENS, do_sample=False
        )
    answer: list[int] = made[0, ids.shape[1] :].tolist()
    return answer


@click.command()
@click.option("--host", required=True, help="directory or Hub name")
@click.option("--adapter", help="an adapter made for it")
@click.option("--dtype", default="auto")
@click.option("--device", default="auto")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="the file to write")
def main(host: str, adapter: str | None, dtype: str, device: str, out: Path) -> None:
    """Read plain text with a host, and write what came of it as JSON."""
    from transformers import AutoModelForImageTextToText, AutoProcessor

    chosen = device if device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
    model = AutoModelForImageTextToText.from_pretrained(host, dtype=dtype).to(chosen).eval()
    processor = AutoProcessor.from_pretrained(host)
    if adapter is not None:
        pa.load_adapter(model, adapter, processor=processor)
    reading = read_plain_text(model, getattr(processor, "tokenizer", processor))
    scratch = out.with_suffix(".part")
    scratch.write_text(json.dumps(asdict(reading)), encoding="utf-8")
    scratch.replace(out)


if __name__ == "__main__":
    main()
