"""Replies and option scores of a model that merges pictures into the prompt by itself, and gives no prompt back."""

from __future__ import annotations

import types
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from miniatures import ADAPTER, awake
from support.llava_code import IMAGE, batch, llava_code, pictures

import parrot_adapters as pa
from parrot_adapters.evaluation.answers.option_scorer import OptionScorer
from parrot_adapters.evaluation.answers.transformers_host import EvaluationHost, Inputs

ASKED = {0: [1, 20, IMAGE, 22, 23, 24], 1: [1, IMAGE, 25, 26, 27, 28]}
OPTIONS = {"A": "20 21 22", "B": "30"}


class WordTokenizer:
    """Words are the numbers of their ids."""

    pad_token_id, eos_token_id, bos_token = 0, 2, None
    all_special_tokens = ("<end>",)

    def __call__(self, text: str, add_special_tokens: bool = False) -> dict[str, list[int]]:
        return {"input_ids": [{"A": 50, "B": 51}.get(word) or int(word) for word in text.split()]}

    def batch_decode(self, rows: Sequence[Sequence[int]], **ignored: Any) -> list[str]:
        return [" ".join(map(str, row)) for row in rows]


class CodeHost(EvaluationHost):
    """Questions are keys of ASKED."""

    def __init__(self) -> None:
        handle = awake(pa.attach(llava_code(tokenizer_padding_side="left"), ADAPTER))
        super().__init__(handle.model, types.SimpleNamespace(tokenizer=WordTokenizer()), handle, {"dtype": "float32"})

    def encode(self, asked: Sequence[Any]) -> Inputs:
        rows = [ASKED[question.index] for question in asked]
        tensors = batch(*rows, left=True) | {"images": pictures(*(question.index for question in asked))}
        return Inputs(tensors, ("en",) * len(asked))

    def render(self, prompt: str, pictures: int) -> str:
        return prompt


def question(index: int) -> Any:
    return types.SimpleNamespace(index=index, subset="MMMB_en", language="en", options=OPTIONS)


def test_replies_are_what_was_written_and_routing_is_of_their_rows() -> None:
    host = CodeHost()
    asked = [question(0), question(1)]
    answers = host.generate(host.encode(asked), 3)
    for one, answer in zip(asked, answers, strict=True):
        [alone] = host.generate(host.encode([one]), 3)
        assert answer.prediction == alone.prediction
        assert len(answer.prediction.split()) == 3
        assert answer.routing == pytest.approx(alone.routing, abs=1e-4)


@torch.no_grad()
def test_options_score_as_generate_finds_them() -> None:
    host = CodeHost()
    scorer = OptionScorer(host)
    asked = [question(0), question(1)]
    for one, answer in zip(asked, scorer.score(asked, host.encode(asked)), strict=True):
        letter, expected = scorer.as_generated(one)
        assert letter == "A"
        assert answer.scores["text"]["A"] == pytest.approx(expected, abs=2e-4)
        assert answer.routing is not None
