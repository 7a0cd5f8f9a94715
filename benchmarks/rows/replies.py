"""Written replies of `parrot evaluate`, against a loop that asks one question at a time; its report.

The host is a LLaVA of random weights (it never says it is done, so every reply has the same length). ``a loop`` has the
same host generate the reply to one question after the other. The report is of 12,000 questions in six languages whose
answers are scripted: scores, statistics and the page, against reading and writing as many answers. Log-likelihoods of
options are the theme ``evaluation``.
"""

from __future__ import annotations

import itertools
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import torch
from harness import HERE, Options, Row, compare, rows_of

from parrot_adapters.evaluation import benchmark_named
from parrot_adapters.evaluation.answers.evaluate import evaluate
from parrot_adapters.evaluation.answers.evaluation_config import EvaluationConfig
from parrot_adapters.evaluation.answers.transformers_host import EvaluationHost
from parrot_adapters.evaluation.benchmark.questions import Question, load_questions, load_subsets
from parrot_adapters.testing import save_small_host

sys.path.insert(0, str(HERE.parent / "tests"))
from support import benchmark_files  # whole hosts made offline

COVERS = ("parrot_adapters/evaluation/", "parrot_adapters/statistics.py", "parrot_adapters/pages/")

TOKENS, BATCH, LANGUAGES = 8, 8, ("en", "ar", "tr", "zh", "pt", "ru")


@torch.inference_mode()
def replies_one_by_one(host: EvaluationHost, questions: list[Question]) -> None:
    for question in questions:
        host.generate(host.encode([question]), TOKENS)


def measure(options: Options) -> Iterator[Row]:
    """Rows of replies, then of a report."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        model = save_small_host(
            folder / "host",
            text={"hidden_size": 256, "intermediate_size": 688, "num_hidden_layers": 6, "num_key_value_heads": 4},
            vision={"hidden_size": 128, "intermediate_size": 256, "image_size": 96, "patch_size": 8},
        )
        data = benchmark_files.save_benchmark(
            folder / "data", questions=8 if options.tiny else 24, languages=("en", "ar")
        )
        host = EvaluationHost.load(str(model), device=options.device)
        config = EvaluationConfig(
            model=str(model),
            benchmark="mmmb",
            data=str(data),
            protocol="vlmevalkit-2025",
            out="",
            batch_size=BATCH,
            max_new_tokens=TOKENS,
        )
        benchmark = benchmark_named("mmmb")
        questions = load_questions(load_subsets(config, benchmark), benchmark, config.prompt_style)
        fresh = itertools.count()

        def ours() -> None:
            made = evaluate(replace(config, out=str(folder / f"out{next(fresh)}")), host=host)
            assert made.made == len(questions)
            assert made.batch_size == BATCH

        runs: dict[str, Callable[[], object]] = {
            "a loop": lambda: replies_one_by_one(host, questions),
            "parrot evaluate": ours,
        }
        settings = f"{len(questions)} questions, {TOKENS} new tokens, batches of {BATCH}, {options.device}"
        yield from rows_of(compare(runs, options), {("a loop", "parrot evaluate"): None}, settings=settings)
        yield from report_rows(folder, config, options)


def report_rows(folder: Path, config: EvaluationConfig, options: Options) -> Iterator[Row]:
    """What scoring and a page take beside the run that they are of: answers are scripted, pictures are 640 x 480."""
    from support.evaluation_runs import ScriptedHost

    from parrot_adapters.evaluation.reports.choice_page import write_report
    from parrot_adapters.evaluation.scores.choice_files import write_results
    from parrot_adapters.evaluation.scores.score_choices import score_run

    data, fresh = folder / "large", itertools.count()
    benchmark_files.save_benchmark(data, questions=20 if options.tiny else 2000, languages=LANGUAGES, size=(640, 480))
    large = replace(config, data=str(data), out=str(folder / "report"), batch_size=64)
    run = evaluate(large, host=ScriptedHost())

    def again() -> None:
        evaluate(replace(large, out=str(folder / f"large{next(fresh)}")), host=ScriptedHost())

    def report() -> None:
        result = score_run(run)
        write_results(result, run, large.out)
        write_report(result, run, large.out)

    once = replace_repeats(options)
    found = compare({"a run whose host takes no time": again, "its scores, statistics and page": report}, once)
    limits = {("its scores, statistics and page", "a run whose host takes no time"): None}
    yield from rows_of(found, limits, settings=f"{len(run.questions)} questions, pictures of 640 x 480")


def replace_repeats(options: Options) -> Options:
    """Few rounds: each takes half a minute."""
    return replace(options, repeats=min(2, options.repeats))
