"""Runs of a scripted host: everything of an evaluation but the model."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from parrot_adapters.evaluation.answers.evaluate import evaluate
from parrot_adapters.evaluation.answers.evaluation_config import EvaluationConfig
from parrot_adapters.evaluation.answers.host_protocol import Reply
from parrot_adapters.evaluation.benchmark.questions import Question
from parrot_adapters.evaluation.reports.choice_page import write_report
from parrot_adapters.evaluation.scores.choice_results import RunResult, score_run, write_results
from support import benchmark_files

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

    def generate(self, asked: Sequence[Question], max_new_tokens: int) -> list[Reply]:
        return [self._reply(question) for question in asked]

    def _reply(self, question: Question) -> Reply:
        chance = random.Random(f"{self.seed} {question.language} {question.index}")
        options = ["A", "A", "B", "C. ثعلب أحمر", RUDE, "I do not know what that is at all"]
        weights = [chance.random() for _ in range(3)] if self.identity["adapter"] else None
        return Reply(chance.choice(options), True, weights and [w / sum(weights) for w in weights])


def run(folder: Path, host: ScriptedHost, **changed: object) -> RunResult:
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
    result = score_run(evaluate(EvaluationConfig(**settings), host=host), resamples=100)
    write_results(result, result.run.config.out)
    write_report(result, result.run.config.out)
    return result


def likely_run(folder: Path) -> RunResult:
    """A run by log-likelihood, of a host that is surer than it is right."""
    asked = run(folder, ScriptedHost()).run
    chance = random.Random(0)
    answers = []
    for question, answer in zip(asked.questions, asked.answers, strict=True):
        letter = {option: chance.gauss(0, 2) + 1.5 * (option == question.row.answer) for option in question.options}
        scores = {"letter": letter, "text": letter, "tokens": dict.fromkeys(letter, 1.0)}
        answers.append(replace(answer, prediction=None, scores=scores))
    config = replace(asked.config, scoring="loglik", out=str(folder / "likely"))
    result = score_run(replace(asked, config=config, answers=answers), resamples=100)
    write_results(result, config.out)
    write_report(result, config.out)
    return result


def page_text(result: RunResult) -> str:
    """The run's report.html."""
    return (Path(result.run.config.out) / "report.html").read_text(encoding="utf-8")
