"""Runs of a scripted host: everything of an evaluation but the model."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from parrot_adapters.evaluation.answers.evaluate import Evaluation, evaluate
from parrot_adapters.evaluation.answers.evaluation_config import EvaluationConfig
from parrot_adapters.evaluation.answers.host_protocol import Answer
from parrot_adapters.evaluation.benchmark.questions import Question
from parrot_adapters.evaluation.reports.choice_page import write_report
from parrot_adapters.evaluation.scores.choice_files import write_results
from parrot_adapters.evaluation.scores.result import Result
from parrot_adapters.evaluation.scores.score_choices import score_run
from support import benchmark_files


class Scored(NamedTuple):
    """A run, and its scores."""

    run: Evaluation
    result: Result


RUDE = "</script><script>alert(1)</script> <b>A</b> & \u2028"


class ScriptedHost:
    """Answers by a script: no model at all."""

    def __init__(self, seed: int = 0, adapter: bool = True) -> None:
        self.seed = seed
        self.identity = {"name": "scripted", "weights": str(seed), "adapter": {"name": "a", "digest": "d"}}
        if not adapter:
            self.identity["adapter"] = None

    def render(self, prompt: str, pictures: int) -> str:
        return prompt

    def lengths(self, asked: Sequence[Question]) -> list[int]:
        return [len(question.prompt) for question in asked]

    def encode(self, asked: Sequence[Question]) -> Sequence[Question]:
        return asked

    def generate(self, asked: Sequence[Question], max_new_tokens: int) -> list[Answer]:
        return [self._reply(question) for question in asked]

    def _reply(self, question: Question) -> Answer:
        chance = random.Random(f"{self.seed} {question.language} {question.index}")
        options = ["A", "A", "B", "C. ثعلب أحمر", RUDE, "I do not know what that is at all"]
        weights = [chance.random() for _ in range(3)] if self.identity["adapter"] else None
        return Answer(chance.choice(options), True, weights and [w / sum(weights) for w in weights])


def run(folder: Path, host: ScriptedHost, **changed: object) -> Scored:
    data = folder / "data"
    if not data.exists():
        benchmark_files.save_benchmark(data, questions=30)
    settings = {
        "model": "scripted",
        "benchmark": "mmmb",
        "data": str(data),
        "protocol": "vlmevalkit-2024",
        "out": str(folder / f"out{host.seed}"),
    } | changed
    asked = evaluate(EvaluationConfig(**settings), host=host)
    return scored(asked)


def scored(asked: Evaluation) -> Scored:
    """Score a run, and write all its files."""
    result = score_run(asked, resamples=100)
    write_results(result, asked, asked.config.out)
    write_report(result, asked, asked.config.out)
    return Scored(asked, result)


def likely_run(folder: Path) -> Scored:
    """A run by log-likelihood, of a host that is surer than it is right."""
    asked = run(folder, ScriptedHost()).run
    chance = random.Random(0)
    answers = []
    for question, answer in zip(asked.questions, asked.answers, strict=True):
        letter = {option: chance.gauss(0, 2) + 1.5 * (option == question.row.answer) for option in question.options}
        scores = {"letter": letter, "text": letter, "tokens": dict.fromkeys(letter, 1.0)}
        answers.append(replace(answer, prediction=None, scores=scores))
    config = replace(asked.config, scoring="loglik", out=str(folder / "likely"))
    return scored(replace(asked, config=config, answers=answers))


def page_text(result: Scored) -> str:
    """The run's report.html."""
    return (Path(result.run.config.out) / "report.html").read_text(encoding="utf-8")
