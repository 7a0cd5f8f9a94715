"""What every number of a run depends on, as hashes and versions."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from parrot_adapters.evaluation.benchmark.questions import Question

if TYPE_CHECKING:
    from parrot_adapters.evaluation.answers.evaluate import Evaluation

__all__ = ["package_versions", "prompts_hash", "run_provenance"]

PACKAGES = ("parrot_adapters", "torch", "transformers", "tokenizers", "pillow", "numpy")


def run_provenance(run: Evaluation, *, protocol: str, unit: str, by_option: bool, **more: object) -> dict[str, object]:
    """What every number of a run depends on.

    Args:
        run: the answered questions.
        protocol: how replies become scores.
        unit: what is counted once.
        by_option: whether options were scored rather than replies read.
        more: what else the numbers of its kind depend on.
    """
    config = run.config
    return {
        "benchmark": config.benchmark,
        "task": config.task,
        "protocol": protocol,
        "unit": unit,
        **more,
        "prompt_style": config.prompt_style,
        "prompt_sha256": prompts_hash(run.questions),
        "generation": config.answer_settings(),
        "option_score": config.option_score if by_option else None,
        "think": config.think,
        "limit": config.limit,
        "processor": dict(config.processor),
        "host": {name: value for name, value in run.host.items() if name != "adapter"},
        "adapter": run.host.get("adapter"),
        "versions": package_versions(),
    }


def prompts_hash(questions: Iterable[Question], subset: str | None = None) -> str:
    """SHA-256 of the prompts of one subset, or of all, whatever their order."""
    digest = hashlib.sha256()
    for question in sorted(questions, key=lambda q: (q.subset, q.index)):
        if subset in (None, question.subset):
            digest.update(json.dumps([question.subset, question.index, question.prompt]).encode())
    return digest.hexdigest()


def package_versions() -> dict[str, str]:
    """Versions of Python and of the packages that can change a score."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
