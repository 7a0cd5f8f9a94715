"""``parrot compare``: do two runs differ, in which languages, and on which questions?"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

    from parrot_adapters.evaluation.scores.compare_results import Comparison

__all__ = ["command"]


def command(argv: list[str]) -> int:
    """Compare two runs that were scored alike. 0 done; 1 they cannot be compared; 2 bad usage."""
    asked = _parser().parse_args(argv)
    from rich.console import Console

    from parrot_adapters.evaluation.scores.compare_results import compare_runs, read_run

    comparison = compare_runs(read_run(asked.run_a), read_run(asked.run_b))
    console = Console()
    console.print(_table(comparison))
    for key, (one, other) in comparison.differing.items():
        console.print(f"differs: {key}\n  A {one}\n  B {other}", highlight=False, markup=False, soft_wrap=True)
    for warning in comparison.warnings:
        print(f"parrot compare: note: {warning}", file=sys.stderr)
    if asked.html:
        from parrot_adapters.evaluation.reports.comparison_page import write_comparison

        write_comparison(comparison, asked.html)
        console.print(f"wrote {asked.html}", highlight=False, markup=False, soft_wrap=True)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="parrot compare", description=__doc__)
    parser.add_argument("run_a", metavar="RUN_A", help="the --out of parrot evaluate, or a file of parrot score")
    parser.add_argument("run_b", metavar="RUN_B", help="the other one, scored alike")
    parser.add_argument("--html", metavar="FILE", help="write a page with the questions that flipped")
    return parser


def _table(comparison: Comparison) -> Table:
    from rich import box
    from rich.table import Table

    result = comparison.a.result
    table = Table(
        title=f"{result.benchmark}, protocol {result.protocol}, in %",
        caption="95 %: of B - A, over questions. only A/B: only that run is right.\n"
        "p: McNemar takes every unit for itself, so it is given where no question is\n"
        "asked twice; perm. swaps whole questions, in all languages at once;\n"
        "Holm is perm. made larger for asking in several languages.",
        box=box.SIMPLE,
        padding=(0, 1, 0, 0),
    )
    table.add_column("subset", no_wrap=True)
    for heading in ("units", "A", "B", "B - A", "95 %", "only A/B", "McNemar", "perm.", "Holm"):
        table.add_column(heading, justify="right", no_wrap=True)
    rows = [*comparison.by_subset.items(), ("all", comparison.overall)]
    for place, (name, found) in enumerate(rows):
        if place == len(rows) - 1:
            table.add_section()
        table.add_row(
            name,
            str(found.units),
            f"{100 * found.a:.1f}",
            f"{100 * found.b:.1f}",
            f"{100 * found.interval.estimate:+.1f}",
            f"{100 * found.interval.low:+.0f}..{100 * found.interval.high:+.0f}",
            f"{found.flips.lost}/{found.flips.gained}",
            _p(found.mcnemar.p) if found.mcnemar else "",
            _p(found.permutation),
            _p(comparison.holm[name]) if name in comparison.holm else "",
        )
    return table


def _p(value: float) -> str:
    return "<.001" if value < 0.001 else f"{value:.3f}"
