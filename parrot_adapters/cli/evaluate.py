"""``parrot evaluate``: ask a vision-language model a multilingual benchmark and score its answers."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parrot_adapters.cli.commands import device_option, option, parrot_command
from parrot_adapters.cli.score_table import protocol_list
from parrot_adapters.errors import ConfigError, ParrotWarning, explain
from parrot_adapters.evaluation import BENCHMARKS, PROMPT_STYLES, load_languages, protocol_named
from parrot_adapters.evaluation.answers.evaluation_config import (
    MATCHERS,
    OPTION_SCORES,
    SCORINGS,
    THINKING,
    EvaluationConfig,
)
from parrot_adapters.evaluation.benchmark.tasks import CHOICE, OPEN, TASKS

if TYPE_CHECKING:
    from parrot_adapters.console import Table
    from parrot_adapters.evaluation.answers.evaluate import Evaluation
    from parrot_adapters.evaluation.scores.result import Result

__all__ = ["command"]

PROFILED = 32
"""Passes that --profile records: a reply takes one for each of its tokens."""


ASK = (
    "parrot evaluate --model example:emoji/host --benchmark emoji --data example:emoji --protocol vlmevalkit-2026 "
    "--languages en,tr --limit 3 --max-new-tokens 4"
)


@parrot_command(
    "evaluate",
    epilog=f"{protocol_list()}\n\nA run that was stopped goes on where it was: give the same command again.",
    examples=[
        f"{ASK} --out runs/bare",
        f"{ASK} --adapter runs/mixture/adapter --out runs/adapted",
    ],
)
@option("--model", required=True, metavar="DIR_OR_NAME", help="a vision-language model of transformers")
@option("--adapter", metavar="DIR", help="an adapter made for it")
@option("--benchmark", required=True, metavar="NAME", help=", ".join(BENCHMARKS))
@option(
    "--data", required=True, metavar="DIR", help="directory of the benchmark's TSV files, or AIDC-AI/Parrot-dataset"
)
@option("--task", default=CHOICE, metavar="NAME", help=f"{', '.join(TASKS)}, as far as the benchmark has it")
@option("--languages", default="", show_default=False, metavar="en,ar,...", help="which of them (all that are there)")
@option("--protocol", metavar="NAME", help="one of the four below; required for choice and comparison")
@option("--prompt-style", default="default", metavar="NAME", help=", ".join(PROMPT_STYLES))
@option("--matcher", default="reference", metavar="NAME", help=f"whose scores come first: {' or '.join(MATCHERS)}")
@option("--scoring", default="generate", metavar="NAME", help=" or ".join(SCORINGS))
@option("--option-score", default="letter", metavar="NAME", help=f"for loglik: {', '.join(OPTION_SCORES)}")
@option("--batch-size", type=int, default=8, metavar="N", help="rows at once; changes no answer")
@option("--limit", type=int, metavar="N", help="only the first N questions of each language")
@option("--max-new-tokens", type=int, default=512, metavar="N", help="where replies are cut off")
@option("--dtype", default="auto", metavar="T", help="auto (the checkpoint's), float32, bfloat16, float16")
@device_option()
@option("--processor", multiple=True, metavar="KEY=VALUE", help="change a setting of the processor (repeatable)")
@option("--think", default="keep", metavar="NAME", help=f"<think>...</think> in replies: {' or '.join(THINKING)}")
@option("--detector", metavar="NAME", help="a plugin's language detector for replies (else their script is read)")
@option("--language-data", metavar="FILE", help="more languages for the robust matcher, as JSON")
@option("--profile", is_flag=True, help="record where time and memory go, in DIR/profile")
@option("--out", required=True, metavar="DIR", help="answers, results.json, CSV files and report.html")
def command(language_data: str | None, profile: bool, **asked: Any) -> None:
    """Ask a model a multilingual benchmark (MMMB, MMBench, emoji).

    What is not answered yet is asked, everything is scored, and the results are written to --out.

    Exit code: 0 done, 1 failed, 2 bad usage.
    """
    if language_data is not None:
        load_languages(language_data)
    config = _config(**asked)
    from parrot_adapters.console import progress
    from parrot_adapters.evaluation.answers.evaluate import evaluate

    with _notes():
        if profile:
            run = _profiled(config)
        else:
            with progress("asking") as shown:
                run = evaluate(config, progress=shown)
        if run is None:  # not the first of several processes: that one scores
            return
        (_finish_task if config.task in OPEN else _finish_choice)(run)
    out = Path(config.out)
    print(
        f"{run.made} of {len(run.answers)} answers are new. Results: {out / 'results.json'}; "
        f"to look at: {out / 'report.html'}"
    )


def _profiled(config: EvaluationConfig) -> Evaluation | None:
    """Ask, and say where the time of the first passes went."""
    from parrot_adapters.analysis.time_profile import profiled
    from parrot_adapters.console import progress
    from parrot_adapters.evaluation.answers.evaluate import evaluate, load_host_of
    from parrot_adapters.evaluation.answers.processes import this_process

    host = load_host_of(config)
    rank = this_process().rank
    place = Path(config.out) / ("profile" if not rank else f"profile-{rank}")
    with profiled(host.model, host.adapter, place, passes=PROFILED) as found, progress("asking") as shown:
        run = evaluate(config, host=host, progress=shown)
    print(found.text(), file=sys.stderr)
    return run


def _finish_task(run: Evaluation) -> None:
    """Score, write and show a run of naming or retrieval."""
    from parrot_adapters.cli.task_table import task_table
    from parrot_adapters.console import note, show, waiting
    from parrot_adapters.evaluation.reports.open_page import write_task_report
    from parrot_adapters.evaluation.scores.score_open_task import score_items, score_task, write_task_results

    with waiting("scoring"):
        items = score_items(run)
        result = score_task(run, items)
        write_task_results(result, items, run.config.out)
        write_task_report(result, items, run, run.config.out)
    show(task_table(result))
    for text in result.warnings:
        note("evaluate", text)


def _finish_choice(run: Evaluation) -> None:
    """Score, write and show a run of choices."""
    from parrot_adapters.cli.score_table import score_table
    from parrot_adapters.console import note, show, waiting
    from parrot_adapters.evaluation.reports.choice_page import write_report
    from parrot_adapters.evaluation.scores.choice_files import write_results
    from parrot_adapters.evaluation.scores.score_choices import score_run

    with waiting("scoring"):
        result = score_run(run)
        write_results(result, run, run.config.out)
        write_report(result, run, run.config.out)
    show(score_table(result))
    if result.option_scores:
        show(_option_table(result))
    for text in result.warnings:
        note("evaluate", text)


def _option_table(result: Result) -> Table:
    """Accuracy by each way to read the options' log-likelihoods."""
    from parrot_adapters.console import Table

    rows = []
    for name in result.subsets:
        values = [by_subset[name] for by_subset in result.option_scores.values()]
        values.append(result.calibration.get(name))
        rows.append([name, *("-" if value is None else f"{100 * value:.2f}" for value in values)])
    return Table(
        ("subset", *result.option_scores, "calibration"),
        rows,
        title="accuracy by the log-likelihood of options, in %",
        caption=f"{result.option_score} decides above. calibration: expected error over letters",
    )


def _config(
    task: str, protocol: str | None, languages: str, processor: tuple[str, ...], **others: Any
) -> EvaluationConfig:
    if task == CHOICE:
        protocol_named(protocol)  # before anything else: the most important choice has no default
    return EvaluationConfig(
        task=task,
        protocol=protocol,
        languages=[code.strip() for code in languages.split(",") if code.strip()],
        processor=_settings(processor),
        **others,
    )


def _settings(pairs: tuple[str, ...]) -> dict[str, object]:
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
    from parrot_adapters.console import note

    before = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *rest: object) -> None:
        if issubclass(category, ParrotWarning):
            note("evaluate", message)
        else:
            before(message, category, *rest)  # type: ignore[arg-type]

    with warnings.catch_warnings():
        warnings.simplefilter("always", ParrotWarning)
        warnings.showwarning = show  # type: ignore[assignment]
        yield
