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

__all__ = ["command"]


def command(argv: list[str]) -> int:
    """Score a file of predictions, write ``OUT.json``, print a table. 0 done; 2 bad usage."""
    asked = _parser().parse_args(argv)
    protocol = protocol_named(asked.protocol)
    benchmark = benchmark_named(asked.benchmark)
    if asked.language_data:
        load_languages(asked.language_data)
    report = score_predictions(asked.data, asked.predictions, protocol, benchmark)
    write_json(asked.json, report.as_json())
    _show(report)
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


def _show(report: ScoreReport) -> None:
    from rich.console import Console

    Console(soft_wrap=False).print(_table(report))


def _table(report: ScoreReport) -> Table:
    from rich.table import Table

    title = (
        f"{report.benchmark.stem}, protocol {report.protocol.name}, unit: {report.protocol.unit(report.benchmark.name)}"
    )
    table = Table(title=title)
    table.add_column("subset")
    for heading in ("units", "reference", "not found", "robust", "not found"):
        table.add_column(heading, justify="right")
    for name, reference in report.reference.items():
        robust = report.robust[name]
        table.add_row(
            name,
            str(len(reference.hits)),
            _percent(reference.overall),
            _percent(reference.not_found),
            _percent(robust.overall),
            _percent(robust.not_found),
        )
    table.add_section()
    by_reference, by_robust = means(report.reference), means(report.robust)
    for key, label in (("row_weighted", "mean over units"), ("language_macro", "mean over languages")):
        table.add_row(label, "", _percent(by_reference[key]), "", _percent(by_robust[key]), "")
    return table


def _percent(fraction: float | None) -> str:
    return "-" if fraction is None else f"{100 * fraction:.2f} %"
