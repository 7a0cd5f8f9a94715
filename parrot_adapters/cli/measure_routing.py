"""``parrot measure-routing``: how an adapter routes each language on average, stored with it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from parrot_adapters.cli.commands import argument, device_option, option, parrot_command
from parrot_adapters.errors import ConfigError
from parrot_adapters.evaluation import BENCHMARKS

if TYPE_CHECKING:
    from parrot_adapters.console import Progress
    from parrot_adapters.core import RoutingStatistics

__all__ = ["command"]


@parrot_command(
    "measure-routing",
    examples=["parrot measure-routing runs/mixture/adapter --model example:emoji/host --data example:emoji --limit 4"],
)
@argument("adapter", metavar="ADAPTER", help="an adapter directory; routing.json is added to it")
@option("--model", required=True, metavar="DIR_OR_NAME", help="the host it was made for, with its processor")
@option("--benchmark", default="emoji", metavar="NAME", help=", ".join(BENCHMARKS))
@option("--data", metavar="DIR", help="directory of the benchmark's TSV files")
@option("--limit", type=int, default=100, metavar="N", help="questions of each language")
@option(
    "--language",
    default="",
    show_default=False,
    metavar="TAG,...",
    help="of the benchmark (all that are there); of the prompts",
)
@option("--prompts", metavar="FILE", help="prompts of one language, one per line, in place of a benchmark")
@option("--image", metavar="FILE", multiple=True, help="picture to ask about (repeatable); else grey")
@device_option()
def command(**asked: Any) -> None:
    """Store how an adapter routes each language on average.

    A host with its adapter is run on prompts, and the mean routing weights of each language are stored with the
    adapter (routing.json). parrot freeze-routing --language TAG then needs no prompts.

    Exit code: 0 done, 1 failed, 2 bad usage.
    """
    if (asked["data"] is None) == (asked["prompts"] is None):
        raise ConfigError("give a benchmark's --data DIR, or --prompts FILE with --language TAG")
    from parrot_adapters.adapter.language_routing import read_language_routing, write_language_routing
    from parrot_adapters.console import progress

    adapter = asked["adapter"]
    read_language_routing(adapter)  # what cannot be stored is known before a model is loaded
    with progress("measuring") as shown:
        measured = (_of_benchmark if asked["prompts"] is None else _of_prompts)(asked, shown)
    for language, one in write_language_routing(adapter, measured).items():
        shares = " ".join(f"{share:.3f}" for share in one.weights)
        print(f"{language:<8} {shares}   over {one.decisions:,}")
    print(f"stored in {Path(adapter) / 'routing.json'}: parrot freeze-routing --language TAG needs no more")


def _of_benchmark(asked: dict[str, Any], progress: Progress) -> RoutingStatistics:
    if asked["limit"] < 1:
        raise ConfigError(f"--limit must be at least 1, not {asked['limit']}")
    from parrot_adapters.analysis.benchmark_samples import benchmark_questions
    from parrot_adapters.analysis.measure_routing import measure_questions

    languages = [code.strip() for code in asked["language"].split(",") if code.strip()]
    questions = benchmark_questions(asked["benchmark"], asked["data"], languages, asked["limit"])
    return measure_questions(asked["model"], asked["adapter"], questions, device=asked["device"], progress=progress)


def _of_prompts(asked: dict[str, Any], progress: Progress) -> RoutingStatistics:
    language = asked["language"]
    if not language or "," in language:
        raise ConfigError("--prompts needs --language TAG, one")
    from parrot_adapters.analysis.measure_routing import measure_prompts

    return measure_prompts(
        asked["model"],
        asked["adapter"],
        read_prompts(asked["prompts"]),
        images=asked["image"],
        language=language,
        device=asked["device"],
        progress=progress,
    )


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
