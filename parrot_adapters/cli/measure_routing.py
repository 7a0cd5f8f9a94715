"""``parrot measure-routing``: how an adapter routes each language on average, stored with it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from parrot_adapters.errors import ConfigError
from parrot_adapters.evaluation import BENCHMARKS

if TYPE_CHECKING:
    from parrot_adapters.core import RoutingStatistics

__all__ = ["command"]


def command(argv: list[str]) -> int:
    """Measure, store, show. 0 done; 1 failed; 2 bad usage."""
    asked = _parser().parse_args(argv)
    if (asked.data is None) == (asked.prompts is None):
        raise ConfigError("give a benchmark's --data DIR, or --prompts FILE with --language TAG")
    from parrot_adapters.adapter.language_routing import read_language_routing, write_language_routing

    read_language_routing(asked.adapter)  # what cannot be stored is known before a model is loaded
    stored = write_language_routing(
        asked.adapter, _of_benchmark(asked) if asked.prompts is None else _of_prompts(asked)
    )
    for language, one in stored.items():
        shares = " ".join(f"{share:.3f}" for share in one.weights)
        print(f"{language:<8} {shares}   over {one.decisions:,}")
    print(f"stored in {Path(asked.adapter) / 'routing.json'}: parrot freeze-routing --language TAG needs no more")
    return 0


def _of_benchmark(asked: argparse.Namespace) -> RoutingStatistics:
    from parrot_adapters.analysis.benchmark_samples import benchmark_questions
    from parrot_adapters.analysis.measure_routing import measure_questions

    if asked.limit < 1:
        raise ConfigError(f"--limit must be at least 1, not {asked.limit}")
    languages = [code.strip() for code in asked.language.split(",") if code.strip()]
    questions = benchmark_questions(asked.benchmark, asked.data, languages, asked.limit)
    return measure_questions(asked.model, asked.adapter, questions)


def _of_prompts(asked: argparse.Namespace) -> RoutingStatistics:
    from parrot_adapters.analysis.measure_routing import measure_prompts

    if not asked.language or "," in asked.language:
        raise ConfigError("--prompts needs --language TAG, one")
    prompts = read_prompts(asked.prompts)
    return measure_prompts(asked.model, asked.adapter, prompts, images=asked.image or (), language=asked.language)


def read_prompts(path: str) -> list[str]:
    """The lines of a file that are not empty.

    Raises:
        ConfigError: it cannot be read, or holds none.
    """
    try:
        lines = Path(path).read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the prompts: {error}") from error
    prompts = [line.strip() for line in lines if line.strip()]
    if not prompts:
        raise ConfigError(f"{path} holds no prompts")
    return prompts


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="parrot measure-routing",
        description="Run a host with its adapter on prompts, average the routing weights by language, and store them "
        "with the adapter (routing.json). parrot freeze-routing --language TAG then needs no prompts.",
    )
    add = parser.add_argument
    add("adapter", metavar="ADAPTER", help="an adapter directory; routing.json is added to it")
    add("--model", required=True, metavar="DIR_OR_NAME", help="the host it was made for, with its processor")
    add("--benchmark", default="emoji", metavar="NAME", help=f"{', '.join(BENCHMARKS)} (%(default)s)")
    add("--data", metavar="DIR", help="directory of the benchmark's TSV files")
    add("--limit", type=int, default=100, metavar="N", help="questions of each language (%(default)s)")
    add("--language", default="", metavar="TAG,...", help="of the benchmark (all that are there); of the prompts")
    add("--prompts", metavar="FILE", help="prompts of one language, one per line, in place of a benchmark")
    add("--image", metavar="FILE", action="append", help="picture to ask about (repeatable); else grey")
    return parser
