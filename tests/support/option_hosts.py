"""Miniature hosts whose options are scored, and a plain loop over tokens that says what each score should be."""

from __future__ import annotations

import types
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from miniatures import BOS, FAMILIES, Image
from miniatures.prompts import Prompt

from parrot_adapters.evaluation.answers.transformers_host import EvaluationHost, Inputs

OPTIONS = {"A": "20 21 22", "B": "30", "C": "20 21 22 23 24", "D": "40 41"}
LETTERS = {letter: 50 + i for i, letter in enumerate("ABCD")}
PROMPTS: Mapping[int, Prompt] = {
    0: (BOS, 20, Image(0), 22, 23, 24),
    1: (BOS, Image(1), 25),
    2: (BOS, 20, 21, 26, Image(2), 27, 28, 29),
}


class WordTokenizer:
    """Words are the numbers of their ids."""

    pad_token_id, eos_token_id, bos_token = 0, 2, None
    all_special_tokens = ("<end>",)

    def __call__(self, text: str, add_special_tokens: bool = False) -> dict[str, list[int]]:
        return {"input_ids": [LETTERS[word] if word in LETTERS else int(word) for word in text.split()]}


class MiniatureHost(EvaluationHost):
    """A family of the library's miniatures; questions are keys of ``prompts``."""

    def __init__(
        self, family: str, prompts: Mapping[int, Prompt] = PROMPTS, dtype: torch.dtype = torch.float32
    ) -> None:
        self.family, self.prompts = FAMILIES[family], prompts
        processor = types.SimpleNamespace(tokenizer=WordTokenizer())
        super().__init__(self.family.build().to(dtype), processor, None, {"dtype": str(dtype).removeprefix("torch.")})
        torch.manual_seed(0)
        with torch.no_grad():
            for parameter in self.model.get_output_embeddings().parameters():
                parameter.copy_(torch.randn(parameter.shape))

    def encode(self, asked: Sequence[Any]) -> Inputs:
        tensors = self.family.batch([self.prompts[question.index] for question in asked])
        languages = tuple(question.language for question in asked)
        return Inputs({k: v for k, v in tensors.items() if isinstance(v, torch.Tensor)}, languages)

    def render(self, prompt: str, pictures: int) -> str:
        return prompt


def question(
    index: int,
    options: Mapping[str, str] = OPTIONS,
    prompts: Mapping[int, Prompt] = PROMPTS,
    language: str | None = None,
) -> types.SimpleNamespace:
    """What a scorer needs of a question."""
    return types.SimpleNamespace(
        index=index,
        subset="MMMB_en",
        language=language,
        options=options,
        picture_hashes=tuple(str(part.seed) for part in prompts[index] if isinstance(part, Image)),
    )


@torch.no_grad()
def naive(host: MiniatureHost, asked: Any, text: str) -> float:
    """A loop over tokens: after the prompt and the tokens so far, how likely is the next one?

    Labels say where the prompt ends, where an adapter reads it.
    """
    ids, total = host.tokenize(text), 0.0
    for place, token in enumerate(ids):
        tensors = host.family.batch([(*host.prompts[asked.index], *ids[:place])])
        if host.family.name == "paligemma" and place:  # what follows its prompt is of type 1, and seen one way only
            tensors["token_type_ids"][0, -place:] = 1
        if host.adapter is not None and place:
            tensors["labels"] = torch.full_like(tensors["input_ids"], -100)
            tensors["labels"][0, -place:] = tensors["input_ids"][0, -place:]
        with host.watched(host.encode([asked])):
            logits = host.model(**host.on_device(tensors)).logits[0, -1]
        total += logits.float().log_softmax(-1)[token].item()
    return total
