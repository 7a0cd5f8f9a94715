"""Do two runs differ? Question by question, per language and over all, between runs that can be compared at all."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from parrot_adapters.errors import explain
from parrot_adapters.evaluation.benchmark.data_error import EvaluationDataError
from parrot_adapters.evaluation.benchmark.rows import PASS
from parrot_adapters.evaluation.benchmark.subsets import named
from parrot_adapters.evaluation.scores.paired_runs import Flips, McNemar, flips, mcnemar, paired_permutation
from parrot_adapters.evaluation.scores.read_result import ReadResult, read_run
from parrot_adapters.statistics import Interval, clustered_difference, holm

__all__ = ["Comparison", "Difference", "ReadResult", "compare_runs", "read_run"]

MUST_MATCH = ("protocol", "mode", "benchmark", "task", "matcher", "unit")
SETTINGS = ("prompt_style", "generation", "option_score", "think", "limit", "processor", "host", "adapter", "versions")


class Difference(NamedTuple):
    """Run B against run A, on the units both have."""

    units: int
    a: float
    b: float
    interval: Interval
    """Of B minus A, resampling whole questions."""
    mcnemar: McNemar | None
    """None where several units ask one question: the test takes units for independent."""
    permutation: float
    """Two-sided p, swapping the runs question by question."""
    flips: Flips


@dataclass(frozen=True)
class Comparison:
    """Two runs side by side."""

    a: ReadResult
    b: ReadResult
    by_subset: Mapping[str, Difference]
    overall: Difference
    holm: Mapping[str, float]
    """The permutation p of each subset, adjusted for asking in several languages."""
    differing: Mapping[str, tuple[object, object]]
    """Settings in which the runs differ: what the difference may come from."""
    flipped: Mapping[str, tuple[int, ...]]
    """Units that only one run has right, by subset."""
    warnings: tuple[str, ...]


def compare_runs(a: ReadResult, b: ReadResult, *, resamples: int = 2000, permutations: int = 9999) -> Comparison:
    """Compare two runs on the units both have.

    Raises:
        EvaluationDataError: they were scored differently, on different questions, or share none.
    """
    for key in MUST_MATCH:
        one, other = getattr(a.result, key), getattr(b.result, key)
        if one != other:
            raise EvaluationDataError(
                explain(
                    f"the runs differ in {key}, so their scores cannot be compared.",
                    **{str(a.path): one, str(b.path): other},
                    to_do="evaluate one of them again with the other's settings; its answers are kept, and only scored",
                )
            )
    hits_a, hits_b = _hits(a), _hits(b)
    shared = [name for name in hits_a if name in hits_b and set(hits_a[name]) & set(hits_b[name])]
    if not shared:
        raise EvaluationDataError(
            explain(
                "the runs have no question in common.",
                **{str(a.path): ", ".join(hits_a), str(b.path): ", ".join(hits_b)},
            )
        )
    altered = [name for name in shared if _md5(a, name) != _md5(b, name)]
    if altered:
        raise EvaluationDataError(
            explain(
                f"the runs were asked different files for {', '.join(altered)}.",
                **{str(run.path): ", ".join(str(_md5(run, name)) for name in altered) for run in (a, b)},
            )
        )
    pooled_a, pooled_b = (
        {(name, unit): float(hit) for name in shared for unit, hit in hits[name].items()} for hits in (hits_a, hits_b)
    )
    how = {"resamples": resamples, "permutations": permutations}
    by_subset = {name: _difference(_of(pooled_a, name), _of(pooled_b, name), **how) for name in shared}
    return Comparison(
        a,
        b,
        by_subset,
        _difference(pooled_a, pooled_b, **how),
        holm({name: found.permutation for name, found in by_subset.items()}),
        {
            key: (getattr(a.result, key), getattr(b.result, key))
            for key in SETTINGS
            if getattr(a.result, key) != getattr(b.result, key)
        },
        {
            name: tuple(u for u, hit in sorted(hits_a[name].items()) if hits_b[name].get(u, hit) != hit)
            for name in shared
        },
        tuple(_uneven(a, b, shared)),
    )


Hits = Mapping[tuple[str, int], float]


def _hits(run: ReadResult) -> dict[str, Mapping[int, int]]:
    return {name: score.hits for name, score in run.result.subsets.items()}


def _of(hits: Hits, subset: str) -> Hits:
    return {unit: hit for unit, hit in hits.items() if unit[0] == subset}


def _difference(a: Hits, b: Hits, *, resamples: int, permutations: int) -> Difference:
    units = [unit for unit in a if unit in b]
    one: dict[Hashable, float] = {unit: a[unit] for unit in units}
    other: dict[Hashable, float] = {unit: b[unit] for unit in units}
    clusters: dict[Hashable, Hashable] = {unit: unit[1] % PASS for unit in units}
    gained = [b[unit] - a[unit] for unit in units]
    return Difference(
        len(units),
        sum(one.values()) / len(units),
        sum(other.values()) / len(units),
        clustered_difference(gained, list(clusters.values()), resamples=resamples),
        mcnemar(one, other) if len({*clusters.values()}) == len(units) else None,
        paired_permutation(one, other, clusters=clusters, resamples=permutations),
        flips(one, other),
    )


def _md5(run: ReadResult, subset: str) -> str | None:
    file = run.result.data.get(subset)
    return file.md5 if file else None


def _uneven(a: ReadResult, b: ReadResult, shared: list[str]) -> list[str]:
    found = []
    for run, other in ((a, b), (b, a)):
        ours, theirs = _hits(run), _hits(other)
        alone = [name for name in ours if name not in theirs]
        if alone:
            found.append(f"only {run.path} has {', '.join(alone)}: not compared")
        for name in shared:
            extra = sorted(set(ours[name]) - set(theirs[name]))
            if extra:
                found.append(f"{name}: {len(extra)} units are only in {run.path}, not compared: {named(extra)}")
    return found
