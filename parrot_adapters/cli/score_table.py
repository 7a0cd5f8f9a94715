"""The terminal table of a scored run: the reference matcher and the robust one beside each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from parrot_adapters.evaluation import ScoreReport, means

if TYPE_CHECKING:
    from rich.table import Table

    from parrot_adapters.evaluation.analysis import Analysis
    from parrot_adapters.evaluation.statistics import Interval

__all__ = ["score_table"]


def score_table(report: ScoreReport, analysis: Analysis) -> Table:
    """Accuracies in percent, by language and in the mean; ``analysis`` is of the reference scores."""
    from rich import box
    from rich.table import Table

    unit = report.protocol.unit(report.benchmark)
    table = Table(
        title=f"{report.benchmark.stem}, protocol {report.protocol.name}, unit: {unit}, in %",
        caption="95 %: bootstrap over questions. lost: English minus this language.\n"
        "unfound: replies in which no choice was found.",
        box=box.SIMPLE,
        padding=(0, 1, 0, 0),
    )
    table.add_column("subset", no_wrap=True)
    for heading in ("units", "reference", "95 %", "lost", "unfound", "robust", "unfound"):
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
        )
    table.add_section()
    by_reference, by_robust = means(report.reference), means(report.robust)
    for key, label, interval in (
        ("row_weighted", "mean over units", analysis.row_weighted),
        ("language_macro", "mean over languages", analysis.language_macro),
    ):
        table.add_row(label, "", _percent(by_reference[key]), _range(interval), "", "", _percent(by_robust[key]), "")
    return table


def _percent(fraction: float | None) -> str:
    return "-" if fraction is None else f"{100 * fraction:.2f}"


def _range(interval: Interval | None) -> str:
    return "-" if interval is None else f"{100 * interval.low:.0f}-{100 * interval.high:.0f}"
