"""The terminal table of a scored run: the reference matcher and the robust one beside each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from parrot_adapters.evaluation import PROTOCOLS, ScoreReport, means

if TYPE_CHECKING:
    from parrot_adapters.console import Table
    from parrot_adapters.evaluation.scores.erosion import Analysis
    from parrot_adapters.evaluation.scores.intervals_and_tests import Interval

__all__ = ["protocol_list", "score_table"]


def protocol_list() -> str:
    """The protocols for the end of a command's help, line by line."""
    lines = "\n".join(f"  {protocol.name:<16}{protocol.use}" for protocol in PROTOCOLS.values())
    return f"\b\nprotocols (there is no default):\n{lines}"


def score_table(report: ScoreReport, analysis: Analysis) -> Table:
    """Accuracies in percent, by language and in the mean; ``analysis`` is of the reference scores."""
    from parrot_adapters.console import Table

    rows: list[list[str] | None] = []
    for name, reference in report.reference.items():
        robust = report.robust[name]
        rows.append(
            [
                name,
                str(len(reference.hits)),
                _percent(reference.overall),
                _range(analysis.intervals.get(name)),
                _percent(analysis.erosion[name].interval.estimate) if name in analysis.erosion else "",
                _percent(reference.not_found),
                _percent(robust.overall),
                _percent(robust.not_found),
                _percent(report.fidelity[name].rate, places=0) if name in report.fidelity else "-",
            ]
        )
    rows.append(None)
    by_reference, by_robust = means(report.reference), means(report.robust)
    for key, label, interval in (
        ("row_weighted", "unit mean", analysis.row_weighted),
        ("language_macro", "language mean", analysis.language_macro),
    ):
        robust_mean = _percent(by_robust[key])
        rows.append([label, "", _percent(by_reference[key]), _range(interval), "", "", robust_mean, "", ""])
    unit = report.protocol.unit(report.benchmark)
    return Table(
        ("subset", "units", "reference", "95 %", "lost", "none", "robust", "none", "asked"),
        rows,
        title=f"{report.benchmark.stem}, protocol {report.protocol.name}, unit: {unit}, in %",
        caption="95 %: bootstrap over questions. lost: English minus this language.\n"
        f"none: replies in which no choice was found.\n{_told_by(report)}",
    )


def _told_by(report: ScoreReport) -> str:
    """What "asked" means: replies in the asked language, or only in its script."""
    by = {found.by for found in report.fidelity.values()} - {"script"}
    judged = f"language asked in (detector {by.pop()})" if by else "script of the language asked in"
    return f"asked: of replies long enough to tell, those in the {judged}."


def _percent(fraction: float | None, places: int = 2) -> str:
    return "-" if fraction is None else f"{100 * fraction:.{places}f}"


def _range(interval: Interval | None) -> str:
    return "-" if interval is None else f"{100 * interval.low:.0f}-{100 * interval.high:.0f}"
