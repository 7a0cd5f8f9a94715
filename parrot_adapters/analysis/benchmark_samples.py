"""Questions of a benchmark as samples for a diagnosis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from parrot_adapters.analysis.diagnose import Sample
from parrot_adapters.errors import ConfigError, explain
from parrot_adapters.evaluation.answers.evaluation_config import EvaluationConfig
from parrot_adapters.evaluation.answers.option_scorer import OptionScorer
from parrot_adapters.evaluation.answers.transformers_host import EvaluationHost
from parrot_adapters.evaluation.benchmark.benchmarks import benchmark_named
from parrot_adapters.evaluation.benchmark.protocols import PROTOCOLS
from parrot_adapters.evaluation.benchmark.questions import Question, limited, load_questions, load_subsets

__all__ = [
    "CODE_SWITCHED",
    "ENGLISH_PROMPT",
    "benchmark_questions",
    "benchmark_samples",
    "code_switched",
    "second_view",
]

ENGLISH_PROMPT = "English prompt"
CODE_SWITCHED = "code-switched prompt"


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


def second_view(questions: Sequence[Question], data: str, benchmark: str) -> dict[int, Question]:
    """The same questions with other pictures, by index, out of any one language's file.

    Args:
        questions: those that have a second view.
        data: directory of the benchmark's files with the other pictures.
        benchmark: its name.

    Raises:
        ConfigError: a question has none, or it is the same picture.
        EvaluationDataError: the files cannot be used.
    """
    wanted = {question.index: question for question in questions}
    found: dict[int, Question] = {}
    for other in benchmark_questions(benchmark, data, (), max(wanted) + 1):
        found.setdefault(other.index, other)
    for index, question in wanted.items():
        seen = found[index].picture_hashes if index in found else ()
        if not seen:
            raise ConfigError(explain("a question has no second view.", given=data, row=f"{question.subset} {index}"))
        if seen == question.picture_hashes:
            raise ConfigError(
                explain(
                    "the second view of a question is its own picture.", given=data, row=f"{question.subset} {index}"
                )
            )
    return found


def benchmark_samples(
    host: EvaluationHost,
    questions: Sequence[Question],
    *,
    by_text: bool = False,
    second_view: Mapping[int, Question] | None = None,
) -> list[Sample]:
    """Questions as samples: pictures shared by languages are one, and so are the categories that the benchmark names.

    Where a question is there in English, too, two faults are tried on the other languages: the whole prompt in English,
    and the question begun in English (:func:`code_switched`), both declared as the other language.

    Args:
        host: with an adapter.
        questions: of a benchmark, in every language.
        by_text: the options are told apart by their texts, not by their letters.
        second_view: other pictures of the same things, from :func:`second_view`.

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
        variants = {} if other is None else {ENGLISH_PROMPT: other, CODE_SWITCHED: code_switched(question, other)}
        made.append(
            Sample(
                inputs=_encoded(host, question),
                language=question.language,
                picture=groups.setdefault(question.picture_hashes, len(groups)),
                options=tuple(scorer.ids(question.options[letter] if by_text else letter) for letter in letters),
                answer=letters.index(question.row.answer),
                other_view=None if second_view is None else _seen_otherwise(host, question, second_view),
                variants={fault: _encoded(host, put) for fault, put in variants.items()},
                category=question.row.label("category"),
            )
        )
    return made


def code_switched(question: Question, english: Question) -> Question:
    """The question begun in English and ended in its own language; options and request stay in its own.

    Each gives half of its words, or of its characters where it has no spaces. Synthetic, as in CoSDA-ML
    (arXiv 2006.06402), but by halves of parallel sentences: there is no dictionary to go wrong.

    Args:
        question: in another language than English.
        english: the same question in English.

    Raises:
        ConfigError: the prompt does not contain the question as it is.
    """
    own, theirs = str(question.row.cells["question"]), str(english.row.cells["question"])
    mixed = f"{_half(theirs, first=True)} {_half(own, first=False)}"
    if own not in question.prompt:
        raise ConfigError(
            explain(
                "a prompt that does not contain its question cannot be switched to English.",
                row=f"{question.subset} {question.index}",
            )
        )
    return replace(question, prompt=question.prompt.replace(own, mixed, 1))


def _half(text: str, *, first: bool) -> str:
    """Half of a sentence, rounded up, by words or else by characters."""
    words = text.split()
    if len(words) < 2:
        middle = (len(text) + 1) // 2
        return text[:middle] if first else text[len(text) - middle :]
    middle = (len(words) + 1) // 2
    return " ".join(words[:middle] if first else words[len(words) - middle :])


def _seen_otherwise(host: EvaluationHost, question: Question, views: Mapping[int, Question]) -> dict[str, Any]:
    other = views[question.index]
    shown = replace(question, picture_texts=other.picture_texts, picture_hashes=other.picture_hashes)
    return _encoded(host, shown)


def _encoded(host: EvaluationHost, question: Question) -> dict[str, Any]:
    return host.on_device(host.encode([question]).tensors)
