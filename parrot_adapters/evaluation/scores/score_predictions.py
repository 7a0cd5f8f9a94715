"""Score a file of predictions against a directory of benchmark files: the work behind ``parrot score``."""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

from parrot_adapters.digests import file_digest
from parrot_adapters.errors import explain
from parrot_adapters.evaluation.benchmark.benchmarks import Benchmark
from parrot_adapters.evaluation.benchmark.data_error import EvaluationDataError
from parrot_adapters.evaluation.benchmark.predictions import read_predictions
from parrot_adapters.evaluation.benchmark.protocols import Protocol
from parrot_adapters.evaluation.benchmark.subsets import find_subsets, load_subset, named
from parrot_adapters.evaluation.scores.choice_result import choice_result
from parrot_adapters.evaluation.scores.reply_language import Detector, language_fidelity
from parrot_adapters.evaluation.scores.result import Result

__all__ = ["score_predictions"]


def score_predictions(
    data: str | Path,
    predictions: str | Path,
    protocol: Protocol,
    benchmark: Benchmark,
    *,
    detector: Detector | None = None,
    detector_name: str = "detector",
    resamples: int = 2000,
) -> Result:
    """Score every language that has predictions, by the reference matcher and by the robust one.

    Args:
        data: Directory of the benchmark's files.
        predictions: File of replies, in a form that :func:`~parrot_adapters.evaluation.read_predictions` knows.
        protocol: What one unit is, and how replies are read.
        benchmark: Benchmark the files are of.
        detector: Asked which language a reply is in; without one its script is read.
        detector_name: What the detector goes by in the result.
        resamples: How often the questions are drawn again for intervals.

    Raises:
        EvaluationDataError: A file is missing or cannot be used; a language with predictions has no benchmark file.
    """
    replies = read_predictions(predictions, benchmark)
    files = find_subsets(data, benchmark)
    absent = [language for language in replies if language not in files]
    if absent:
        raise EvaluationDataError(
            explain(
                f"there are predictions for {named(absent)}, but no benchmark file.",
                directory=data,
                found=", ".join(path.name for path in files.values()),
                missing="; ".join(map(benchmark.published, absent)),
            )
        )
    unused = [benchmark.subset(language) for language in files if language not in replies]
    subsets = {
        language: load_subset(path, benchmark, language, keep_images=False)
        for language, path in files.items()
        if language in replies
    }
    fidelity = language_fidelity(replies, detector=detector, name=detector_name)
    result = choice_result(subsets, replies, protocol, benchmark, fidelity=fidelity, resamples=resamples)
    return replace(
        result,
        predictions_sha256=file_digest(predictions),
        versions={"parrot_adapters": version("parrot_adapters")},
        warnings=((f"no predictions for {', '.join(unused)}: not scored",) if unused else ()) + result.warnings,
    )
