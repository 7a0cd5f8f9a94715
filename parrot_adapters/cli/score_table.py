"""The terminal table of a scored run: the reference matcher and the robust one beside each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from parrot_adapters.evaluation import PROTOCOLS

if TYPE_CHECKING:
    from parrot_adapters.console import Table
    from parrot_adapters.evaluation.scores.result import Result
    from parrot_adapters.statistics import Interval

__all__ = ["protocol_list", "score_table"]


def protocol_list() -> str:
    """The protocols for the end of a command's help, line by line."""
    lines = "\n".join(f"  {protocol.name:<16}{protocol.use}" for protocol in PROTOCOLS.values())
    return f"\b\nprotocols (there is no default):\n{lines}"


def score_table(result: Result) -> Table:
    """Accuracies in percent, by language and in the mean; intervals and losses are of the reference scores."""
    from parrot_adapters.console import Table

    reference, robust = result.matchers["reference"], result.matchers["robust"]
    statistics = reference.statistics
    rows: list[list[str] | None] = [
        [
            name,
            str(len(reference.hits[name])),
            _percent(accuracy),
            _range(statistics.intervals.get(name)),
            _percent(statistics.erosion[name].estimate) if name in statistics.erosion else "",
            _percent(reference.not_found[name]),
            _percent(robust.overall[name]),
            _percent(robust.not_found[name]),
            _percent(result.fidelity[name].rate, places=0) if name in result.fidelity else "-",
        ]
        for name, accuracy in reference.overall.items()
    ]
    rows.append(None)
    for label, ours, interval, theirs in (
        ("unit mean", reference.means.row_weighted, statistics.row_weighted, robust.means.row_weighted),
        ("language mean", reference.means.language_macro, statistics.language_macro, robust.means.language_macro),
    ):
        rows.append([label, "", _percent(ours), _range(interval), "", "", _percent(theirs), "", ""])
    return Table(
        ("subset", "units", "reference", "95 %", "lost", "none", "robust", "none", "asked"),
        rows,
        title=f"{result.benchmark}, protocol {result.protocol}, unit: {result.unit}, in %",
        caption="95 %: over questions. lost: English minus this language.\n"
        "none: replies in which no choice was found. Replies are read by rules;\n"
        "the reference harness's judge mode, in which a model reads them, differs.\n"
        f"{_told_by(result)}",
    )


def _told_by(result: Result) -> str:
    """What "asked" means: replies in the asked language, or only in its script."""
    by = {found.by for found in result.fidelity.values()} - {"script"}
    judged = f"asked language (detector {by.pop()})" if by else "asked language's script"
    return f"asked: of replies long enough to tell, those in the {judged}."


def _percent(fraction: float | None, places: int = 2) -> str:
    return "-" if fraction is None else f"{100 * fraction:.{places}f}"


def _range(interval: Interval | None) -> str:
    return "-" if interval is None else f"{100 * interval.low:.0f}-{100 * interval.high:.0f}"
