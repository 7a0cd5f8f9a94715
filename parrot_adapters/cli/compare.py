"""``parrot compare``: do two runs differ, in which languages, and on which questions?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from parrot_adapters.cli.commands import argument, option, parrot_command

if TYPE_CHECKING:
    from parrot_adapters.console import Table
    from parrot_adapters.evaluation.scores.compare_results import Comparison

__all__ = ["command"]


@parrot_command(
    "compare",
    examples=["parrot compare runs/bare runs/adapted"],
)
@argument("run_a", metavar="RUN_A", help="the --out of parrot evaluate, or a file of parrot score")
@argument("run_b", metavar="RUN_B", help="the other one, scored alike")
@option("--html", metavar="FILE", help="write a page with the questions that flipped")
def command(run_a: str, run_b: str, html: str | None) -> None:
    """Do two runs differ, and on which questions?

    Exit code: 0 done, 1 the runs cannot be compared, 2 bad usage.
    """
    from parrot_adapters.console import note, show, waiting
    from parrot_adapters.evaluation.scores.compare_results import compare_runs, read_run

    with waiting("comparing"):
        comparison = compare_runs(read_run(run_a), read_run(run_b))
    show(_table(comparison))
    for key, (one, other) in comparison.differing.items():
        show(f"differs: {key}\n  A {one}\n  B {other}")
    for warning in comparison.warnings:
        note("compare", warning)
    if html:
        from parrot_adapters.evaluation.reports.comparison_page import write_comparison

        write_comparison(comparison, html)
        show(f"wrote {html}")


def _table(comparison: Comparison) -> Table:
    from parrot_adapters.console import Table

    result = comparison.a.result
    rows: list[list[str] | None] = [
        [
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
        ]
        for name, found in [*comparison.by_subset.items(), ("all", comparison.overall)]
    ]
    return Table(
        ("subset", "units", "A", "B", "B - A", "95 %", "only A/B", "McNemar", "perm.", "Holm"),
        [*rows[:-1], None, rows[-1]],
        title=f"{result.benchmark}, protocol {result.protocol}, in %",
        caption="95 %: of B - A, over questions. only A/B: only that run is right.\n"
        "p: McNemar takes every unit for itself, so it is given where no question is\n"
        "asked twice; perm. swaps whole questions, in all languages at once;\n"
        "Holm is perm. made larger for asking in several languages.",
    )


def _p(value: float) -> str:
    return "<.001" if value < 0.001 else f"{value:.3f}"
