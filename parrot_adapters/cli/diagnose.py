"""``parrot diagnose``: does an adapter tell languages apart, keep what pictures show, and use its experts?"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from parrot_adapters.errors import ConfigError
from parrot_adapters.evaluation import BENCHMARKS, PROMPT_STYLES
from parrot_adapters.evaluation.benchmark.prompts import QUESTION_ALONE

if TYPE_CHECKING:
    from rich.table import Table

    from parrot_adapters.analysis.diagnose import Diagnosis

__all__ = ["command", "diagnosis_lines", "diagnosis_tables"]


def command(argv: list[str]) -> int:
    """Diagnose and print tables. 0 whatever was found (``--strict``: 1 when something is flagged); 2 bad usage."""
    asked = _parser().parse_args(argv)
    if asked.limit < 1:
        raise ConfigError(f"--limit must be at least 1, not {asked.limit}")
    from parrot_adapters.analysis.benchmark_samples import benchmark_questions, benchmark_samples, second_view
    from parrot_adapters.analysis.diagnose import diagnose
    from parrot_adapters.evaluation.answers.transformers_host import EvaluationHost

    languages = [code.strip() for code in asked.languages.split(",") if code.strip()]
    questions = benchmark_questions(asked.benchmark, asked.data, languages, asked.limit, asked.prompt_style)
    views = second_view(questions, asked.second_view, asked.benchmark) if asked.second_view else None
    host = EvaluationHost.load(asked.model, adapter=asked.adapter)
    samples = benchmark_samples(host, questions, by_text=asked.prompt_style == QUESTION_ALONE, second_view=views)

    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("diagnosing", total=len(samples))
        found = diagnose(host.adapter, samples, progress=lambda done, total: bar.update(task, completed=done))
    console = Console()
    for table in diagnosis_tables(found):
        console.print(table)
    for line in diagnosis_lines(found):
        console.print(line, highlight=False, markup=False)
    if asked.json:
        asked.json.write_text(json.dumps(found.to_dict(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        print(f"written: {asked.json}")
    return 1 if asked.strict and found.flags() else 0


def diagnosis_tables(found: Diagnosis) -> list[Table]:
    """Routing by language; languages as told by it; accuracy without each expert; what faults cost."""
    experts = [f"e{e}" for e in range(found.routing.num_experts)]
    rows = [(x or "?", [f"{w:.2f}" for w in row]) for x, row in found.routing.by_language.items()]
    tables = [_table("Mean routing weights", experts, rows)]
    if found.probe is not None:
        probe = found.probe
        cells = [(x, [f"{v:.0%}" for v in row]) for x, row in zip(probe.languages, probe.confusion, strict=True)]
        title = f"Language told by routing: {probe.accuracy:.0%} right (chance {probe.chance:.0%})"
        tables.append(_table(title, [f"as {x}" for x in probe.languages], cells))
    if found.accuracy:
        cells = [
            (x, [f"{found.host_accuracy[x]:.0%}", f"{value:.0%}", *(f"{a - value:+.0%}" for a in found.ablation[x])])
            for x, value in found.accuracy.items()
        ]
        columns = ["host", "adapter", *(f"- {e}" for e in experts)]
        tables.append(_table("Accuracy, and its change without each expert", columns, cells))
    if found.faults:
        names = list(found.faults)
        languages = dict.fromkeys(x for by in found.faults.values() for x in by)
        cells = [(x, [_lost(found, name, x) for name in names]) for x in languages]
        tables.append(_table("Accuracy lost by a fault", names, cells))
    return tables


def diagnosis_lines(found: Diagnosis) -> list[str]:
    """What is not a table: pictures, purity, and every flag."""
    kept, routing = found.preservation, found.routing
    lines = [
        f"visual tokens: cosine {kept.shift.cosine:.3f}, relative change {kept.shift.relative_norm:.3f}, "
        f"linear CKA {kept.cka:.3f} over {kept.tokens} tokens"
    ]
    if kept.retrieval_before is not None and kept.retrieval_after is not None:
        lines.append(f"another view found: {kept.retrieval_before:.0%} before, {kept.retrieval_after:.0%} after")
    if kept.category_before is not None and kept.category_after is not None and kept.category_chance is not None:
        told = f"{kept.category_before:.0%} before, {kept.category_after:.0%} after (chance {kept.category_chance:.0%})"
        lines.append(f"category told by the mean visual token: {told}")
    if routing.purity is not None and routing.language_information is not None:
        lines.append(
            f"purity {routing.purity:.2f} (one expert for all: {routing.purity_by_chance:.2f}), "
            f"language and expert share {routing.language_information:.2f} nats"
        )
    return [*lines, *(f"FLAG  {flag}" for flag in found.flags() or ["none"])]


def _lost(found: Diagnosis, name: str, language: str) -> str:
    fault = found.faults[name].get(language)
    return "" if fault is None else f"{fault.lost:+.0%}"


def _table(title: str, columns: Sequence[str], rows: Sequence[tuple[str, list[str]]]) -> Table:
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    table.add_column("language")
    for column in columns:
        table.add_column(column, justify="right")
    for name, cells in rows:
        table.add_row(name, *cells)
    return table


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="parrot diagnose", description=__doc__)
    add = parser.add_argument
    add("--model", required=True, metavar="DIR_OR_NAME", help="a vision-language model of transformers")
    add("--adapter", required=True, metavar="DIR", help="an adapter made for it")
    add("--benchmark", default="emoji", metavar="NAME", help=f"{', '.join(BENCHMARKS)} (%(default)s)")
    add("--data", required=True, metavar="DIR", help="directory of the benchmark's TSV files")
    add("--second-view", metavar="DIR", help="the benchmark's files with other pictures of the same things: retrieval")
    add("--languages", default="", metavar="en,ar,...", help="which of them (all that are there)")
    add("--prompt-style", default="default", metavar="NAME", help=f"{', '.join(PROMPT_STYLES)} (%(default)s)")
    add("--limit", type=int, default=40, metavar="N", help="questions of each language (%(default)s)")
    add("--json", type=Path, metavar="FILE", help="write every number")
    add("--strict", action="store_true", help="exit 1 when something is flagged")
    return parser
