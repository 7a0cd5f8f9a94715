"""What every number of a run depends on, as hashes and versions."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version

from parrot_adapters.evaluation.questions import Question

__all__ = ["package_versions", "prompts_hash"]

PACKAGES = ("parrot_adapters", "torch", "transformers", "tokenizers", "pillow", "numpy")


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
