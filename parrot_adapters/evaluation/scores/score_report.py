"""Score a file of predictions against a directory of benchmark files: the work behind ``parrot score``."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from statistics import fmean

from parrot_adapters.errors import explain
from parrot_adapters.evaluation.benchmark.benchmarks import Benchmark
from parrot_adapters.evaluation.benchmark.errors import EvaluationDataError
from parrot_adapters.evaluation.benchmark.predictions import read_predictions
from parrot_adapters.evaluation.benchmark.protocols import Protocol
from parrot_adapters.evaluation.benchmark.subsets import Subset, find_subsets, load_subset, named
from parrot_adapters.evaluation.matching.extract_choice import ROBUST
from parrot_adapters.evaluation.scores.reply_language import Detector, Fidelity, language_fidelity
from parrot_adapters.evaluation.scores.subset_score import SubsetScore, score_subset

__all__ = ["ScoreReport", "means", "score_predictions"]


@dataclass(frozen=True)
class ScoreReport:
    """Scores of every language that has predictions, by the reference matcher and by the robust one."""

    benchmark: Benchmark
    protocol: Protocol
    subsets: Mapping[str, Subset]
    reference: Mapping[str, SubsetScore]
    robust: Mapping[str, SubsetScore]
    predictions_sha256: str
    warnings: tuple[str, ...]
    fidelity: Mapping[str, Fidelity] = field(default_factory=dict)
    """Of free replies, by subset: are they in the language they were asked in?"""

    def as_json(self) -> dict[str, object]:
        """The content of ``OUT.json``: ``protocol`` and ``subsets``, and beside them what they were made from."""
        return {
            "protocol": self.protocol.name,
            "subsets": {name: _as_json(score) for name, score in self.reference.items()},
            "benchmark": self.benchmark.name,
            "matcher": "reference",
            "unit": self.protocol.unit(self.benchmark),
            "means": means(self.reference),
            "not_found": {name: score.not_found for name, score in self.reference.items()},
            "robust": {
                "overall": {name: score.overall for name, score in self.robust.items()},
                "not_found": {name: score.not_found for name, score in self.robust.items()},
                "means": means(self.robust),
                "choices": {name: _by_text(score.choices) for name, score in self.robust.items()},
            },
            "data": {
                name: {
                    "file": subset.path.name,
                    "md5": subset.md5,
                    "published": subset.md5 == self.benchmark.md5.get(subset.language),
                }
                for name, subset in self.subsets.items()
            },
            "fidelity": {name: found.as_json() for name, found in self.fidelity.items()},
            "predictions_sha256": self.predictions_sha256,
            "versions": {"parrot_adapters": version("parrot_adapters")},
            "warnings": list(self.warnings),
        }


def score_predictions(
    data: str | Path,
    predictions: str | Path,
    protocol: Protocol,
    benchmark: Benchmark,
    *,
    detector: Detector | None = None,
    detector_name: str = "detector",
) -> ScoreReport:
    """Score the predictions of one file, language by language.

    Args:
        data: directory of the benchmark's files.
        predictions: see :func:`~parrot_adapters.evaluation.read_predictions`.
        protocol: what one unit is, and how replies are read.
        benchmark: whose files.
        detector: which language a reply is in; without one its script is read.
        detector_name: what the detector goes by in the result.

    Raises:
        EvaluationDataError: a file is missing or cannot be used; a language with predictions has no benchmark file.
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
    warnings = [f"no predictions for {', '.join(unused)}: not scored"] if unused else []
    subsets, reference, robust = {}, {}, {}
    for language, path in files.items():
        if language not in replies:
            continue
        subset = load_subset(path, benchmark, language, keep_images=False)
        subsets[subset.name] = subset
        reference[subset.name] = score_subset(subset, replies[language], protocol, benchmark)
        robust[subset.name] = score_subset(subset, replies[language], protocol, benchmark, matcher=ROBUST)
        published = benchmark.md5.get(language)
        if published and subset.md5 != published:
            warnings.append(f"{path.name} is not the published file: its md5 is {subset.md5}, not {published}")
        warnings += [*subset.warnings, *reference[subset.name].warnings]
    sha256 = hashlib.sha256(Path(predictions).read_bytes()).hexdigest()
    fidelity = {
        benchmark.subset(language): found
        for language, found in language_fidelity(replies, detector=detector, name=detector_name).items()
    }
    return ScoreReport(benchmark, protocol, subsets, reference, robust, sha256, tuple(warnings), fidelity)


def means(scores: Mapping[str, SubsetScore]) -> dict[str, float | None]:
    """Two ways to one number: every unit alike, and every language alike (what papers print as "average")."""
    units = [hit for score in scores.values() for hit in score.hits.values()]
    overall = [score.overall for score in scores.values() if score.overall is not None]
    return {
        "row_weighted": fmean(units) if units else None,
        "language_macro": fmean(overall) if overall else None,
    }


def _as_json(score: SubsetScore) -> dict[str, object]:
    return {
        "overall": score.overall,
        "category": dict(score.category),
        "l2_category": dict(score.l2_category),
        "split": dict(score.split),
        "choices": _by_text(score.choices),
        "hits": {str(unit): hit for unit, hit in score.hits.items()},
    }


def _by_text(choices: Mapping[int, str | None]) -> dict[str, str | None]:
    return {str(index): choice for index, choice in choices.items()}
