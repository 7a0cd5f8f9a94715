"""Replies per second of `parrot evaluate` against a loop, one row at a time, on the same host; its report's build time.

The host is a LLaVA of random weights (it never says it is done, so every reply has the same length). Log-likelihoods of
options are a theme of `make bench` (`rows/evaluation.py`).  python benchmarks/evaluate.py
"""

from __future__ import annotations

import itertools
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from resource import RUSAGE_SELF, getrusage

import torch
from harness import arguments, compare, report, spread_of

from parrot_adapters.evaluation import benchmark_named
from parrot_adapters.evaluation.answers.evaluate import evaluate
from parrot_adapters.evaluation.answers.evaluation_config import EvaluationConfig
from parrot_adapters.evaluation.answers.transformers_host import EvaluationHost
from parrot_adapters.evaluation.benchmark.questions import Question, load_questions, load_subsets
from parrot_adapters.testing import save_small_host

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from support import benchmark_files  # whole hosts made offline

TOKENS = 8
BATCH = 8


@torch.inference_mode()
def replies_one_by_one(host: EvaluationHost, questions: list[Question]) -> None:
    for question in questions:
        host.generate(host.encode([question]), TOKENS)


def main() -> None:
    options = arguments(__doc__ or "")
    count = 8 if options.quick else 24
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        model = save_small_host(
            folder / "host",
            text={"hidden_size": 256, "intermediate_size": 688, "num_hidden_layers": 6, "num_key_value_heads": 4},
            vision={"hidden_size": 128, "intermediate_size": 256, "image_size": 96, "patch_size": 8},
        )
        data = benchmark_files.save_benchmark(folder / "data", questions=count, languages=("en", "ar"))
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
            "generate, one by one": lambda: replies_one_by_one(host, questions),
            "generate, parrot evaluate": ours,
        }
        rows: list[dict[str, object]] = [
            {
                "what": name,
                "questions/s": len(questions) / measured["seconds"],
                "time vs loop": measured["ratio"],
                "spread": spread_of(measured),
            }
            for name, measured in compare(runs, options).items()
        ]
        rows.append(_page(folder, config, host))
        peak = getrusage(RUSAGE_SELF).ru_maxrss / 1024
        settings = {"questions": len(questions), "batch": BATCH, "new tokens": TOKENS, "peak MB": round(peak)}
        report("evaluate", settings, rows, options)


def _page(folder: Path, config: EvaluationConfig, host: EvaluationHost) -> dict[str, object]:
    """How long a report of 12,000 questions takes to score and write: answers are scripted, pictures are 640 x 480."""
    from support.evaluation_runs import ScriptedHost

    from parrot_adapters.evaluation.reports.choice_page import write_report
    from parrot_adapters.evaluation.scores.choice_files import write_results
    from parrot_adapters.evaluation.scores.score_choices import score_run

    data = folder / "large"
    benchmark_files.save_benchmark(
        data, questions=2000, languages=("en", "ar", "tr", "zh", "pt", "ru"), size=(640, 480)
    )
    large = replace(config, data=str(data), out=str(folder / "large-out"), batch_size=64)
    run = evaluate(large, host=ScriptedHost())
    start = time.perf_counter()
    result = score_run(run)
    write_results(result, run, large.out)
    write_report(result, run, large.out)
    seconds = time.perf_counter() - start
    return {
        "what": f"scores, statistics and report.html of {len(run.questions)} questions, {seconds:.1f} s",
        "questions/s": len(run.questions) / seconds,
        "time vs loop": "",
        "spread": "",
    }


if __name__ == "__main__":
    main()
