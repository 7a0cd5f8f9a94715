"""What every number of a run of ``parrot evaluate`` depends on, as hashes and versions."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterable
from dataclasses import asdict, replace
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from parrot_adapters.digests import bytes_digest
from parrot_adapters.evaluation.benchmark.questions import Question
from parrot_adapters.evaluation.scores.result import Result

if TYPE_CHECKING:
    from parrot_adapters.evaluation.answers.evaluate import Evaluation

__all__ = ["package_versions", "prompts_hash", "with_origin"]

PACKAGES = ("parrot_adapters", "torch", "transformers", "tokenizers", "pillow", "numpy", "scipy")


def with_origin(result: Result, run: Evaluation, *, by_option: bool) -> Result:
    """Return a result with what its numbers depend on: prompts, model, settings, versions.

    Args:
        result: Scores of the run.
        run: The answered questions.
        by_option: Whether options were scored rather than replies read.
    """
    config = run.config
    return replace(
        result,
        benchmark=config.benchmark,
        task=config.task,
        prompt_style=config.prompt_style,
        prompt_sha256=prompts_hash(run.questions),
        prompts_sha256={name: prompts_hash(run.questions, name) for name in result.subsets},
        generation=config.answer_settings(),
        option_score=config.option_score if by_option else None,
        think=config.think,
        limit=config.limit,
        processor=dict(config.processor),
        host={name: value for name, value in run.host.items() if name != "adapter"},
        adapter=run.host.get("adapter"),
        versions=package_versions(),
        config=asdict(config),
        answers={"new": run.made, "batch_size": run.batch_size},
    )


def prompts_hash(questions: Iterable[Question], subset: str | None = None) -> str:
    """Return the SHA-256 of the prompts of one subset, or of all, whatever their order.

    Args:
        questions: Asked questions.
        subset: Name of the subset; None for all.
    """
    return bytes_digest(
        json.dumps([question.subset, question.index, question.prompt]).encode()
        for question in sorted(questions, key=lambda q: (q.subset, q.index))
        if subset in (None, question.subset)
    )


def package_versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that can change a score."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
