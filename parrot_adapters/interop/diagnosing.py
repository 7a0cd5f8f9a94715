"""Questions of a benchmark as samples for a diagnosis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from parrot_adapters.errors import ConfigError, explain
from parrot_adapters.evaluation.benchmarks import benchmark_named
from parrot_adapters.evaluation.config import EvaluationConfig
from parrot_adapters.evaluation.protocols import PROTOCOLS
from parrot_adapters.evaluation.questions import Question, limited, load_questions, load_subsets
from parrot_adapters.interop.evaluation_host import EvaluationHost
from parrot_adapters.interop.option_scores import OptionScorer
from parrot_adapters.seeing.diagnose import Sample

__all__ = ["ENGLISH_PROMPT", "benchmark_questions", "benchmark_samples"]

ENGLISH_PROMPT = "English prompt"


def benchmark_questions(
    benchmark: str, data: str, languages: Sequence[str], limit: int, style: str = "default"
) -> list[Question]:
    """The first ``limit`` questions of each language, in a prompt style.

    Raises:
        ConfigError: no benchmark or no style of that name.
        EvaluationDataError: its files cannot be used.
    """
    protocol = next(iter(PROTOCOLS))  # nothing is scored by it
    config = EvaluationConfig(
        model="",
        benchmark=benchmark,
        data=data,
        protocol=protocol,
        out="",
        languages=languages,
        prompt_style=style,
    )
    found = benchmark_named(config.benchmark)
    subsets = load_subsets(config, found)
    few = {language: replace(subset, rows=tuple(limited(subset.rows, limit))) for language, subset in subsets.items()}
    return load_questions(few, found, config.prompt_style)


def benchmark_samples(host: EvaluationHost, questions: Sequence[Question], *, by_text: bool = False) -> list[Sample]:
    """Questions as samples: pictures shared by languages are one, and the English form of each question is a variant of
    the others (a prompt in English, declared as the other language).

    Args:
        host: with an adapter.
        questions: of a benchmark, in every language.
        by_text: the options are told apart by their texts, not by their letters.

    Raises:
        ConfigError: a question without a picture or an answer.
    """
    scorer = OptionScorer(host)
    english = {question.index: question for question in questions if question.language == "en"}
    groups: dict[tuple[str, ...], int] = {}
    made = []
    for question in questions:
        letters = list(question.options)
        if question.row.answer not in letters or not question.picture_hashes:
            raise ConfigError(
                explain(
                    "a question without a picture or an answer cannot be diagnosed on.",
                    row=f"{question.subset} {question.index}",
                    to_do="use a split with answers",
                )
            )
        other = english.get(question.index) if question.language != "en" else None
        made.append(
            Sample(
                inputs=_encoded(host, question),
                language=question.language,
                picture=groups.setdefault(question.picture_hashes, len(groups)),
                options=tuple(scorer.ids(question.options[letter] if by_text else letter) for letter in letters),
                answer=letters.index(question.row.answer),
                variants={} if other is None else {ENGLISH_PROMPT: _encoded(host, other)},
            )
        )
    return made


def _encoded(host: EvaluationHost, question: Question) -> dict[str, Any]:
    return host.on_device(host.encode([question]).tensors)
