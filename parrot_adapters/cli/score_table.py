"""The terminal table of a scored run: the reference matcher and the robust one beside each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from parrot_adapters.evaluation import ScoreReport, means

if TYPE_CHECKING:
    from rich.table import Table

    from parrot_adapters.evaluation.scores.erosion import Analysis
    from parrot_adapters.evaluation.scores.intervals_and_tests import Interval

__all__ = ["score_table"]


def score_table(report: ScoreReport, analysis: Analysis) -> Table:
    """Accuracies in percent, by language and in the mean; ``analysis`` is of the reference scores."""
    from rich import box
    from rich.table import Table

    unit = report.protocol.unit(report.benchmark)
    table = Table(
        title=f"{report.benchmark.stem}, protocol {report.protocol.name}, unit: {unit}, in %",
        caption="95 %: bootstrap over questions. lost: English minus this language.\n"
        "none: replies in which no choice was found.\n"
        f"{_told_by(report)}",
        box=box.SIMPLE,
        padding=(0, 1, 0, 0),
    )
    table.add_column("subset", no_wrap=True)
    for heading in ("units", "reference", "95 %", "lost", "none", "robust", "none", "asked"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, reference in report.reference.items():
        robust = report.robust[name]
        table.add_row(
            name,
            str(len(reference.hits)),
            _percent(reference.overall),
            _range(analysis.intervals.get(name)),
            _percent(analysis.erosion[name].interval.estimate) if name in analysis.erosion else "",
            _percent(reference.not_found),
            _percent(robust.overall),
            _percent(robust.not_found),
            _percent(report.fidelity[name].rate, places=0) if name in report.fidelity else "-",
        )
    table.add_section()
    by_reference, by_robust = means(report.reference), means(report.robust)
    for key, label, interval in (
        ("row_weighted", "unit mean", analysis.row_weighted),
        ("language_macro", "language mean", analysis.language_macro),
    ):
        ours = (_percent(by_reference[key]), _range(interval), "", "", _percent(by_robust[key]))
        table.add_row(label, "", *ours)
    return table


def _told_by(report: ScoreReport) -> str:
    """What "asked" means: replies in the asked language, or only in its script."""
    by = {found.by for found in report.fidelity.values()} - {"script"}
    judged = f"language asked in (detector {by.pop()})" if by else "script of the language asked in"
    return f"asked: of replies long enough to tell, those in the {judged}."


def _percent(fraction: float | None, places: int = 2) -> str:
    return "-" if fraction is None else f"{100 * fraction:.{places}f}"


def _range(interval: Interval | None) -> str:
    return "-" if interval is None else f"{100 * interval.low:.0f}-{100 * interval.high:.0f}"
