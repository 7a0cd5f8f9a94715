"""Do two runs differ? Question by question, per language and over all, between runs that can be compared at all."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from parrot_adapters.errors import explain
from parrot_adapters.evaluation.benchmark.errors import EvaluationDataError
from parrot_adapters.evaluation.benchmark.rows import PASS
from parrot_adapters.evaluation.benchmark.subsets import named
from parrot_adapters.evaluation.scores.intervals_and_tests import (
    Flips,
    Interval,
    McNemar,
    clustered_interval,
    flips,
    holm,
    mcnemar,
    paired_permutation,
)

__all__ = ["Comparison", "Difference", "ScoredRun", "compare_runs", "read_run"]

OVERALL = "overall"
MUST_MATCH = ("protocol", "benchmark", "matcher", "unit")
SETTINGS = ("prompt_style", "generation", "option_score", "think", "limit", "processor", "host", "adapter", "versions")


@dataclass(frozen=True)
class ScoredRun:
    """A run of ``parrot evaluate``, or a result of ``parrot score``."""

    path: Path
    content: Mapping[str, Any]
    hits: Mapping[str, Mapping[int, int]]
    """By subset and unit."""

    def rows(self) -> dict[tuple[str, int], dict[str, str]]:
        """Prompts, choices and replies by subset and row, where the run has them."""
        path = self.path.parent / "rows.csv"
        if self.path.name != "results.json" or not path.is_file():
            return {}
        before = csv.field_size_limit(sys.maxsize)
        try:
            with path.open(encoding="utf-8", newline="") as file:
                return {(row["subset"], int(row["index"])): row for row in csv.DictReader(file)}
        except (KeyError, ValueError, csv.Error) as error:
            raise EvaluationDataError(explain("a run's rows cannot be read.", file=path, because=error)) from None
        finally:
            csv.field_size_limit(before)


class Difference(NamedTuple):
    """Run B against run A, on the units both have."""

    units: int
    a: float
    b: float
    interval: Interval
    """Of B minus A, resampling whole questions."""
    mcnemar: McNemar
    permutation: float
    """Two-sided p, swapping the runs question by question."""
    flips: Flips


@dataclass(frozen=True)
class Comparison:
    """Two runs side by side."""

    a: ScoredRun
    b: ScoredRun
    by_subset: Mapping[str, Difference]
    overall: Difference
    holm: Mapping[str, float]
    """The permutation p of each subset, adjusted for asking in several languages."""
    differing: Mapping[str, tuple[object, object]]
    """Settings in which the runs differ: what the difference may come from."""
    flipped: Mapping[str, tuple[int, ...]]
    """Units that only one run has right, by subset."""
    warnings: tuple[str, ...]


def read_run(path: str | Path) -> ScoredRun:
    """Read a run's directory, its ``results.json``, or the output of ``parrot score``.

    Raises:
        EvaluationDataError: there is no result, or it cannot be read.
    """
    place = Path(path)
    file = place / "results.json" if place.is_dir() else place
    if not file.is_file():
        raise EvaluationDataError(
            explain("there is no result here.", given=place, to_do="give the --out of a finished parrot evaluate")
        )
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        hits = {
            name: {int(unit): int(hit) for unit, hit in subset["hits"].items()}
            for name, subset in content["subsets"].items()
        }
        content["protocol"], content["benchmark"]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        because = f"{type(error).__name__}: {error}"
        raise EvaluationDataError(explain("this is not the result of a run.", file=file, because=because)) from None
    return ScoredRun(file, content, hits)


def compare_runs(a: ScoredRun, b: ScoredRun, *, resamples: int = 2000, permutations: int = 9999) -> Comparison:
    """Compare two runs on the units both have.

    Raises:
        EvaluationDataError: they were scored differently, on different questions, or share none.
    """
    for key in MUST_MATCH:
        one, other = a.content.get(key), b.content.get(key)
        if one != other:
            raise EvaluationDataError(
                explain(
                    f"the runs differ in {key}, so their scores cannot be compared.",
                    **{str(a.path): one, str(b.path): other},
                    to_do="evaluate one of them again with the other's settings; its answers are kept, and only scored",
                )
            )
    shared = [name for name in a.hits if name in b.hits and set(a.hits[name]) & set(b.hits[name])]
    if not shared:
        raise EvaluationDataError(
            explain(
                "the runs have no question in common.",
                **{str(a.path): ", ".join(a.hits), str(b.path): ", ".join(b.hits)},
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
        {(name, unit): float(hit) for name in shared for unit, hit in run.hits[name].items()} for run in (a, b)
    )
    how = {"resamples": resamples, "permutations": permutations}
    by_subset = {name: _difference(_of(pooled_a, name), _of(pooled_b, name), **how) for name in shared}
    return Comparison(
        a,
        b,
        by_subset,
        _difference(pooled_a, pooled_b, **how),
        holm({name: found.permutation for name, found in by_subset.items()}),
        {key: (a.content.get(key), b.content.get(key)) for key in SETTINGS if a.content.get(key) != b.content.get(key)},
        {
            name: tuple(u for u, hit in sorted(a.hits[name].items()) if b.hits[name].get(u, hit) != hit)
            for name in shared
        },
        tuple(_uneven(a, b, shared)),
    )


Hits = Mapping[tuple[str, int], float]


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
        clustered_interval(gained, list(clusters.values()), resamples=resamples),
        mcnemar(one, other),
        paired_permutation(one, other, clusters=clusters, resamples=permutations),
        flips(one, other),
    )


def _md5(run: ScoredRun, subset: str) -> object:
    return run.content.get("data", {}).get(subset, {}).get("md5")


def _uneven(a: ScoredRun, b: ScoredRun, shared: list[str]) -> list[str]:
    found = []
    for run, other in ((a, b), (b, a)):
        alone = [name for name in run.hits if name not in other.hits]
        if alone:
            found.append(f"only {run.path} has {', '.join(alone)}: not compared")
        for name in shared:
            extra = sorted(set(run.hits[name]) - set(other.hits[name]))
            if extra:
                found.append(f"{name}: {len(extra)} units are only in {run.path}, not compared: {named(extra)}")
    return found
