"""``parrot score``: score predictions that were made anywhere, under a named protocol."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from parrot_adapters.evaluation import (
    BENCHMARKS,
    PROTOCOLS,
    ScoreReport,
    benchmark_named,
    load_languages,
    means,
    protocol_named,
    score_predictions,
    write_json,
)

if TYPE_CHECKING:
    from rich.table import Table

    from parrot_adapters.evaluation.analysis import Analysis
    from parrot_adapters.evaluation.statistics import Interval

__all__ = ["command"]


def command(argv: list[str]) -> int:
    """Score a file of predictions, write ``OUT.json``, print a table. 0 done; 2 bad usage."""
    asked = _parser().parse_args(argv)
    protocol = protocol_named(asked.protocol)
    benchmark = benchmark_named(asked.benchmark)
    if asked.language_data:
        load_languages(asked.language_data)
    report = score_predictions(asked.data, asked.predictions, protocol, benchmark)
    from parrot_adapters.evaluation.analysis import analyse

    analysis = analyse(report)
    write_json(asked.json, report.as_json() | {"statistics": analysis.as_json()})
    _show(report, analysis)
    for warning in report.warnings:
        print(f"parrot score: note: {warning}", file=sys.stderr)
    return 0


def _parser() -> argparse.ArgumentParser:
    protocols = "\n".join(f"  {p.name:<16}{p.use}" for p in PROTOCOLS.values())
    parser = argparse.ArgumentParser(
        prog="parrot score",
        description=__doc__,
        epilog=f"protocols (there is no default):\n{protocols}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--benchmark", required=True, metavar="NAME", help=" or ".join(BENCHMARKS))
    parser.add_argument("--data", required=True, metavar="DIR", help="directory of MMMB_<language>.tsv files")
    parser.add_argument(
        "--predictions",
        required=True,
        metavar="FILE",
        help='JSON lines {"lang", "index", "prediction"}, or a result file of the harness (xlsx, tsv, json)',
    )
    parser.add_argument("--protocol", metavar="NAME", help="one of the four below; required")
    parser.add_argument("--json", required=True, metavar="OUT.json", help="where the result goes")
    parser.add_argument("--language-data", metavar="FILE", help="more languages for the robust matcher, as JSON")
    return parser


def _show(report: ScoreReport, analysis: Analysis) -> None:
    from rich.console import Console

    Console().print(_table(report, analysis))


def _table(report: ScoreReport, analysis: Analysis) -> Table:
    from rich import box
    from rich.table import Table

    unit = report.protocol.unit(report.benchmark.name)
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
