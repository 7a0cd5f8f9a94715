"""Replies to multiple-choice questions, wherever they come from, as one :class:`Result`."""

from __future__ import annotations

from collections.abc import Mapping

from parrot_adapters.evaluation.benchmark.benchmarks import Benchmark
from parrot_adapters.evaluation.benchmark.predictions import Predictions
from parrot_adapters.evaluation.benchmark.protocols import Protocol
from parrot_adapters.evaluation.benchmark.subsets import Subset
from parrot_adapters.evaluation.matching.extract_choice import ROBUST
from parrot_adapters.evaluation.scores.result import SCHEMA_VERSION, DataFile, Fidelity, MatcherScores, Result, means
from parrot_adapters.evaluation.scores.run_statistics import statistics_of
from parrot_adapters.evaluation.scores.score_subset import score_subset

__all__ = ["REFERENCE", "choice_result", "data_files"]

REFERENCE = "reference"


def choice_result(
    subsets: Mapping[str, Subset],
    replies: Predictions,
    protocol: Protocol,
    benchmark: Benchmark,
    *,
    matcher: str = REFERENCE,
    task: str = "choice",
    fidelity: Mapping[str, Fidelity] | None = None,
    resamples: int = 2000,
) -> Result:
    """Read replies into choices by both matchers, and score them.

    Args:
        subsets: Questions by language.
        replies: Replies by language and row.
        protocol: What one unit is, and how the reference matcher reads.
        benchmark: Benchmark the questions are of.
        matcher: Whose scores come first: ``reference`` or ``robust``.
        task: What the questions were asked for.
        fidelity: By language: are replies in the language they were asked in?
        resamples: How often the questions are drawn again for intervals.
    """
    asked = {subset.name: subset for subset in subsets.values()}
    scores = {
        kind: {
            subset.name: score_subset(subset, replies.get(language, {}), protocol, benchmark, matcher=kind)
            for language, subset in subsets.items()
        }
        for kind in (REFERENCE, ROBUST)
    }
    matchers = {
        kind: MatcherScores.of(found, statistics_of(found, asked, benchmark.subset("en"), resamples=resamples))
        for kind, found in scores.items()
    }
    chosen = scores[matcher]
    warnings = []
    for language, subset in subsets.items():
        published = benchmark.md5.get(language)
        if published and subset.md5 != published:
            warnings.append(f"{subset.path.name} is not the published file: its md5 is {subset.md5}, not {published}")
        warnings += [*subset.warnings, *scores[REFERENCE][subset.name].warnings]
    return Result(
        schema_version=SCHEMA_VERSION,
        benchmark=benchmark.name,
        task=task,
        protocol=protocol.name,
        unit=protocol.unit(benchmark),
        matcher=matcher,
        subsets=chosen,
        means=means(chosen),
        statistics=matchers[matcher].statistics,
        not_found={name: score.not_found for name, score in chosen.items()},
        matchers=matchers,
        data=data_files(subsets, benchmark),
        fidelity={subsets[language].name: found for language, found in (fidelity or {}).items()},
        warnings=tuple(warnings),
    )


def data_files(subsets: Mapping[str, Subset], benchmark: Benchmark) -> dict[str, DataFile]:
    """Return the files that were read, by subset name.

    Args:
        subsets: Questions by language.
        benchmark: Benchmark they are of.
    """
    return {
        subset.name: DataFile(subset.path.name, subset.md5, subset.md5 == benchmark.md5.get(language))
        for language, subset in subsets.items()
    }
