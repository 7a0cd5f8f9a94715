"""Score one language's replies under one protocol, exactly as the field's harness does.

A row's reply is read into a choice; a unit (one row, or the circular passes of one question) is right or wrong;
accuracies are the plain means of units, over all of them and by category, broad category and split.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import fmean

from parrot_adapters.evaluation.benchmark.benchmarks import Benchmark
from parrot_adapters.evaluation.benchmark.cell_values import reads_as_missing
from parrot_adapters.evaluation.benchmark.protocols import Protocol
from parrot_adapters.evaluation.benchmark.rows import PASS, Row
from parrot_adapters.evaluation.benchmark.subsets import Subset, named
from parrot_adapters.evaluation.matching.extract_choice import REFUSED, ROBUST, extract_choice
from parrot_adapters.evaluation.scores.result import Hit, SubsetScore

__all__ = ["ABBREVIATIONS", "score_subset"]

ABBREVIATIONS = {
    "coarse_perception": "CP",
    "finegrained_perception (instance-level)": "FP-S",
    "finegrained_perception (cross-instance)": "FP-C",
    "logic_reasoning": "LR",
    "relation_reasoning": "RR",
    "attribute_reasoning": "AR",
}
"""The harness prints the six broad categories of MMBench by these names, and so do we."""


def score_subset(
    subset: Subset,
    predictions: Mapping[int, str | None],
    protocol: Protocol,
    benchmark: Benchmark,
    *,
    matcher: str = "reference",
) -> SubsetScore:
    """Score the replies to one language's questions.

    Args:
        subset: Questions of one language.
        predictions: Replies by row index. Rows without one are left out, as in the harness, and named in a warning;
            so are replies to rows that the file does not have.
        protocol: What one unit is, and how the reference matcher reads.
        benchmark: Benchmark the questions are of.
        matcher: ``reference`` (the protocol's) or ``robust``.
    """
    rows = sorted((row for row in subset.rows if row.index in predictions), key=lambda row: row.index)
    robust = matcher == ROBUST
    choices = {}
    for row in rows:
        reply = predictions[row.index]
        if robust:
            choices[row.index] = extract_choice(reply or "", row.options, ROBUST, language=subset.language)
        else:
            # The harness keeps replies in a table, and reads "", "None", "NA" ... back as the missing value, nan.
            said = "nan" if reads_as_missing(reply) else str(reply)
            choices[row.index] = extract_choice(said, row.options, protocol.name)
    if protocol.unit(benchmark) == "row":
        units = {row.index: (row, [row]) for row in rows}
        # A row by itself whose choice is not found counts as Z, so the harness calls it right if the answer is "Z".
        not_found = None if robust else REFUSED
    else:
        units, not_found = _circular_units(rows, protocol), None
    right = {row.index: row.answer is not None and (choices[row.index] or not_found) == row.answer for row in rows}
    hits: dict[int, Hit] = {
        unit: 1 if all(right[row.index] for row in group) else 0 for unit, (_, group) in units.items()
    }
    bases = [(base, hits[unit]) for unit, (base, _) in units.items()]
    return SubsetScore(
        overall=fmean(hits.values()) if hits else None,
        category=_means(bases, lambda row: row.label("category")),
        l2_category=_means(bases, lambda row: _abbreviated(row.label("l2-category"))),
        split=_means(bases, lambda row: row.label("split")),
        choices=choices,
        hits=hits,
        warnings=tuple(_uneven(subset, predictions, rows, units)),
    )


def _circular_units(rows: Sequence[Row], protocol: Protocol) -> dict[int, tuple[Row, list[Row]]]:
    """Base row and passes of each circular question, by the base row's index. Without its base row a group is none."""
    by_column = protocol.grouped_by_column and any("g_index" in row.cells for row in rows)
    groups: dict[object, list[Row]] = {}
    for row in rows:
        groups.setdefault(row.cells.get("g_index") if by_column else row.index % PASS, []).append(row)
    return {row.index: (row, group) for key, group in groups.items() for row in group if row.index == key}


def _means(bases: Sequence[tuple[Row, Hit]], label: Callable[[Row], str | None]) -> dict[str, float]:
    groups: dict[str, list[int]] = {}
    for row, hit in bases:
        name = label(row)
        if name is not None:
            groups.setdefault(name, []).append(hit)
    return {name: fmean(groups[name]) for name in sorted(groups)}


def _abbreviated(name: str | None) -> str | None:
    return None if name is None else ABBREVIATIONS.get(name, name)


def _uneven(
    subset: Subset,
    predictions: Mapping[int, str | None],
    rows: Sequence[Row],
    units: Mapping[int, tuple[Row, Sequence[Row]]],
) -> list[str]:
    warnings = []
    have = {row.index for row in subset.rows}
    missing = [row.index for row in subset.rows if row.index not in predictions]
    if missing:
        warnings.append(
            f"{subset.name}: {len(missing)} of {len(have)} rows have no prediction and are left out of the score: "
            f"{named(missing)}"
        )
    without_image = [index for index in predictions if index in subset.dropped]
    if without_image:
        warnings.append(
            f"{subset.name}: {len(without_image)} predictions are for rows without an image and are left out: "
            f"{named(without_image)}"
        )
    unknown = [index for index in predictions if index not in have and index not in subset.dropped]
    if unknown:
        warnings.append(
            f"{subset.name}: {len(unknown)} predictions are for rows that the file does not have and are left out: "
            f"{named(unknown)}"
        )
    grouped = {row.index for _, group in units.values() for row in group}
    orphans = [row.index for row in rows if row.index not in grouped]
    if orphans:
        warnings.append(
            f"{subset.name}: {len(orphans)} rows belong to a circular question whose base row is not scored, and do "
            f"not count: {named(orphans)}"
        )
    return warnings
