"""``parrot evaluate``: ask a vision-language model a multilingual benchmark and score its answers."""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from parrot_adapters.errors import ConfigError, ParrotWarning, explain
from parrot_adapters.evaluation import BENCHMARKS, PROMPT_STYLES, PROTOCOLS, load_languages, protocol_named
from parrot_adapters.evaluation.answers.evaluation_config import (
    MATCHERS,
    OPTION_SCORES,
    SCORINGS,
    THINKING,
    EvaluationConfig,
)
from parrot_adapters.evaluation.benchmark.tasks import CHOICE, OPEN, TASKS

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from parrot_adapters.evaluation.answers.evaluate import Evaluation
    from parrot_adapters.evaluation.scores.result import Result

__all__ = ["command"]


def command(argv: list[str]) -> int:
    """Ask what is not answered yet, score everything, write results to ``--out``. 0 done; 1 failed; 2 bad usage."""
    asked = _parser().parse_args(argv)
    if (language_data := vars(asked).pop("language_data")) is not None:
        load_languages(language_data)
    config = _config(asked)
    from parrot_adapters.evaluation.answers.evaluate import evaluate
    from parrot_adapters.evaluation.reports.choice_page import write_report
    from parrot_adapters.evaluation.scores.choice_files import write_results
    from parrot_adapters.evaluation.scores.score_choices import score_run

    with _notes(), _bar() as progress:
        run = evaluate(config, progress=progress)
        if run is None:  # not the first of several processes: that one scores
            return 0
        if config.task not in OPEN:
            result = score_run(run)
            write_results(result, run, config.out)
            write_report(result, run, config.out)
    if config.task in OPEN:
        _finish_task(run)
    else:
        _show(result, run)
    return 0


def _finish_task(run: Evaluation) -> None:
    """Score, write and show a run of naming or retrieval."""
    from rich.console import Console

    from parrot_adapters.cli.task_table import task_table
    from parrot_adapters.evaluation.reports.open_page import write_task_report
    from parrot_adapters.evaluation.scores.score_open_task import score_items, score_task, write_task_results

    items = score_items(run)
    result = score_task(run, items)
    write_task_results(result, items, run.config.out)
    write_task_report(result, items, run, run.config.out)
    console = Console()
    console.print(task_table(result))
    for note in result.warnings:
        print(f"parrot evaluate: note: {note}", file=sys.stderr)
    _say_where(console, run)


def _show(result: Result, run: Evaluation) -> None:
    from rich.console import Console

    from parrot_adapters.cli.score_table import score_table

    console = Console()
    console.print(score_table(result))
    if result.option_scores:
        console.print(_option_table(result))
    for warning in result.warnings:
        print(f"parrot evaluate: note: {warning}", file=sys.stderr)
    _say_where(console, run)


def _say_where(console: Console, run: Evaluation) -> None:
    out = Path(run.config.out)
    console.print(
        f"{run.made} of {len(run.answers)} answers are new. Results: {out / 'results.json'}; "
        f"to look at: {out / 'report.html'}",
        highlight=False,
        soft_wrap=True,
    )


def _option_table(result: Result) -> Table:
    """Accuracy by each way to read the options' log-likelihoods."""
    from rich import box
    from rich.table import Table

    table = Table(
        title="options by log-likelihood of, in %",
        caption=f"{result.option_score} decides above. calibration: expected error over letters",
        box=box.SIMPLE,
        padding=(0, 1, 0, 0),
    )
    table.add_column("subset", no_wrap=True)
    for heading in (*result.option_scores, "calibration"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name in result.subsets:
        values = [by_subset[name] for by_subset in result.option_scores.values()]
        values.append(result.calibration.get(name))
        shown = ["-" if value is None else f"{100 * value:.2f}" for value in values]
        table.add_row(name, *shown)
    return table


def _config(asked: argparse.Namespace) -> EvaluationConfig:
    if asked.task == CHOICE:
        protocol_named(asked.protocol)  # before anything else: the most important choice has no default
    values = vars(asked)
    languages = [code.strip() for code in values.pop("languages").split(",") if code.strip()]
    return EvaluationConfig(**values | {"languages": languages, "processor": _settings(asked.processor)})


def _settings(pairs: list[str]) -> dict[str, object]:
    found: dict[str, object] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise ConfigError(
                explain("--processor takes KEY=VALUE.", given=pair, example="--processor max_pixels=401408")
            )
        try:
            found[key] = json.loads(value)
        except json.JSONDecodeError:
            found[key] = value
    return found


@contextmanager
def _notes() -> Iterator[None]:
    """Our own warnings as notes on stderr; others as they are."""
    before = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *rest: object) -> None:
        if issubclass(category, ParrotWarning):
            print(f"parrot evaluate: note: {message}", file=sys.stderr)
        else:
            before(message, category, *rest)  # type: ignore[arg-type]

    with warnings.catch_warnings():
        warnings.simplefilter("always", ParrotWarning)
        warnings.showwarning = show  # type: ignore[assignment]
        yield


@contextmanager
def _bar() -> Iterator[Callable[[int, int], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("asking"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("asking", total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def _parser() -> argparse.ArgumentParser:
    protocols = "\n".join(f"  {p.name:<16}{p.use}" for p in PROTOCOLS.values())
    parser = argparse.ArgumentParser(
        prog="parrot evaluate",
        description=__doc__,
        epilog=f"protocols (there is no default):\n{protocols}\n\n"
        "A run that was stopped goes on where it was: give the same command again.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--model", required=True, metavar="DIR_OR_NAME", help="a vision-language model of transformers")
    add("--adapter", metavar="DIR", help="an adapter made for it")
    add("--benchmark", required=True, metavar="NAME", help=", ".join(BENCHMARKS))
    add(
        "--data", required=True, metavar="DIR", help="directory of the benchmark's TSV files, or AIDC-AI/Parrot-dataset"
    )
    add(
        "--task",
        default=CHOICE,
        metavar="NAME",
        help=f"{', '.join(TASKS)} (%(default)s), as far as the benchmark has it",
    )
    add("--languages", default="", metavar="en,ar,...", help="which of them (all that are there)")
    add("--protocol", metavar="NAME", help="one of the four below; required for choice and comparison")
    add("--prompt-style", default="default", metavar="NAME", help=f"{', '.join(PROMPT_STYLES)} (%(default)s)")
    add("--matcher", default="reference", metavar="NAME", help=f"whose scores come first: {' or '.join(MATCHERS)}")
    add("--scoring", default="generate", metavar="NAME", help=f"{' or '.join(SCORINGS)} (%(default)s)")
    add(
        "--option-score", default="letter", metavar="NAME", help=f"for loglik: {', '.join(OPTION_SCORES)} (%(default)s)"
    )
    add("--batch-size", type=int, default=8, metavar="N", help="rows at once; changes no answer (%(default)s)")
    add("--limit", type=int, metavar="N", help="only the first N questions of each language")
    add("--max-new-tokens", type=int, default=512, metavar="N", help="where replies are cut off (%(default)s)")
    add("--dtype", default="auto", metavar="T", help="auto (the checkpoint's), float32, bfloat16, float16")
    add("--device", default="auto", metavar="D", help="auto, cpu, cuda, cuda:1, ...")
    add("--processor", action="append", default=[], metavar="KEY=VALUE", help="change a setting of the processor")
    add("--think", default="keep", metavar="NAME", help=f"<think>...</think> in replies: {' or '.join(THINKING)}")
    add(
        "--detector",
        metavar="NAME",
        help="a plugin's language detector for replies (else their script is read)",
    )
    add("--language-data", metavar="FILE", help="more languages for the robust matcher, as JSON")
    add("--out", required=True, metavar="DIR", help="answers, results.json, CSV files and report.html")
    return parser
