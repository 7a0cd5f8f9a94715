"""A benchmark's rows as questions of an open task: the options hidden, or replaced by a pool of other rows' answers."""

from __future__ import annotations

import math
import string
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from parrot_adapters.digests import text_digest
from parrot_adapters.errors import explain
from parrot_adapters.evaluation.benchmark.cell_values import Value
from parrot_adapters.evaluation.benchmark.data_error import EvaluationDataError
from parrot_adapters.evaluation.benchmark.prompts import build_prompt
from parrot_adapters.evaluation.benchmark.questions import Question
from parrot_adapters.evaluation.benchmark.rows import PASS, Row
from parrot_adapters.evaluation.benchmark.tasks import NAMING

__all__ = ["POOL", "open_questions", "pools"]

POOL = 20
"""Texts that a picture is compared with, and pictures that a text is."""


def open_questions(task: str, questions: Sequence[Question], benchmark: str, style: str) -> list[Question]:
    """The questions without options; for retrieval, with the answers of a pool as options ``A``, ``B``, ...

    The pools are the same in every language, as far as it has the rows.

    Args:
        task: ``naming`` or ``retrieval``.
        questions: of the benchmark; passes of circular questions are left out.
        benchmark: its name.
        style: of the prompts.

    Raises:
        EvaluationDataError: a row has no answer, or there are too few rows to retrieve from.
    """
    base = [question for question in questions if question.index < PASS]
    for question in base:
        if not question.row.answer or question.row.answer not in question.options:
            raise EvaluationDataError(
                explain(
                    f"a row without a right option cannot be asked for {task}.",
                    row=f"{question.subset} {question.index}",
                    to_do="use a split with answers",
                )
            )
    named = [_bare(question, benchmark, style) for question in base]
    if task == NAMING:
        return named
    _require_distinct(named)
    pool_of = {index: pool for pool in pools({question.index for question in base}) for index in pool}
    by_row = {(question.language, question.index): question for question in named}
    return [_pooled(question, pool_of[question.index], by_row) for question in named]


def pools(indices: Iterable[int], size: int = POOL) -> list[tuple[int, ...]]:
    """Rows in groups of about equal size, at most ``size``, drawn by hash.

    Raises:
        EvaluationDataError: there are fewer than two rows.
    """
    drawn = sorted(set(indices), key=lambda index: text_digest(f"pool/{index}"))
    if len(drawn) < 2:
        raise EvaluationDataError(explain("retrieval needs at least two rows.", given=f"{len(drawn)} rows"))
    count = math.ceil(len(drawn) / size)
    return [tuple(sorted(drawn[start::count])) for start in range(count)]


def _require_distinct(named: Sequence[Question]) -> None:
    first: dict[tuple[str, str], Question] = {}
    for question in named:
        other = first.setdefault((question.language, question.options["A"].casefold()), question)
        if other is not question:
            raise EvaluationDataError(
                explain(
                    f"two rows have the right option {question.options['A']!r}: retrieval could not tell them apart.",
                    rows=f"{question.subset} {other.index} and {question.index}",
                    to_do="retrieve from a benchmark whose rows each show something else",
                )
            )


def _bare(question: Question, benchmark: str, style: str) -> Question:
    """The question with the right option as its only one, and a prompt that shows none."""
    letter = str(question.row.answer)
    shown = {name: cell for name, cell in question.row.cells.items() if name not in string.ascii_uppercase}
    prompt = build_prompt(shown, benchmark=benchmark, style=style, language=question.language)
    return _with_options(question, {"A": question.row.cells[letter]}, "A", prompt)


def _pooled(question: Question, pool: Sequence[int], by_row: Mapping[tuple[str, int], Question]) -> Question:
    present = [index for index in pool if (question.language, index) in by_row]
    letters = dict(zip(present, string.ascii_uppercase, strict=False))
    options = {letters[index]: by_row[question.language, index].row.cells["A"] for index in present}
    return _with_options(question, options, letters[question.index], question.prompt)


def _with_options(question: Question, options: Mapping[str, Value], answer: str, prompt: str) -> Question:
    cells = {name: cell for name, cell in question.row.cells.items() if name not in string.ascii_uppercase}
    row = Row(question.row.index, answer, dict(options), cells | dict(options) | {"answer": answer})
    return replace(question, row=row, prompt=prompt)
