"""``parrot train CONFIG [key=value ...] [--fresh]``: a run, from wherever it stands to its end."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING

from parrot_adapters.cli.commands import argument, option, parrot_command
from parrot_adapters.errors import ConfigError

if TYPE_CHECKING:
    from parrot_adapters.training import TrainingConfig, TrainingResult

__all__ = ["command"]


@parrot_command(
    "train",
    examples=[
        "parrot train recipes/train/tiny_cpu.yaml steps=4 out=runs/single",
        "parrot train recipes/train/tiny_cpu.yaml steps=4 out=runs/mixture adapter.expert=swiglu adapter.num_experts=3",
    ],
)
@argument("config", metavar="CONFIG", help="YAML file")
@argument("overrides", nargs=-1, metavar="[key=value]...", help="settings that replace the file's")
@option("--fresh", is_flag=True, help="start over: remove what a run left in `out`")
@option("--profile", is_flag=True, help="record where time and memory go, in `out`/profile (log.profile=true)")
def command(config: str, overrides: tuple[str, ...], fresh: bool, profile: bool) -> int:
    """Train an adapter on a host, in one or two stages; the same command resumes.

    Exit code: 0 done, now or before. 1 failed; the message says what to do, and the last checkpoint is intact. 2 the
    configuration is wrong, or another one began this run. 143 or 130 stopped by SIGTERM or Ctrl-C and saved; the same
    command goes on. Under torchrun each process ends so, and torchrun has codes of its own.
    """
    from parrot_adapters.training import load_config, prepare_run

    run = load_config(config, (*overrides, "log.profile=true") if profile else overrides)
    directory = prepare_run(run, fresh=fresh)
    try:
        if directory.is_done():
            if directory.leads:
                print(f"done already: {directory.finished()} steps, {directory.adapter} (--fresh starts over)")
            return 0
        _require_paths(run)
        result = _recipe(run)
    finally:
        directory.release()
    if directory.leads:
        print(_in_words(result), file=sys.stderr if result.signal else sys.stdout)
        if run.log.profile and result.steps > result.first:
            print((directory.profile / "profile.txt").read_text("utf-8"), end="", file=sys.stderr)
    return 128 + result.signal if result.signal else 0


def _recipe(config: TrainingConfig) -> TrainingResult:
    """Run the file beside this one that has the recipe's name."""
    result: TrainingResult = import_module(f"{__package__}.{config.recipe}").run(config)
    return result


def _require_paths(config: TrainingConfig) -> None:
    """Find out what is not there before a large host is loaded."""
    from parrot_adapters.training import missing_paths

    if missing := missing_paths(config):
        width = max(map(len, missing))
        lines = [f"  {key:<{width}}  {path}" for key, path in missing.items()]
        raise ConfigError("\n".join(["the configuration names what does not exist.", *lines]))


def _in_words(result: TrainingResult) -> str:
    if result.signal:
        return f"parrot: stopped by signal {result.signal} at step {result.steps}; saved. The same command goes on."
    steps = f"{result.steps} steps" if not result.first else f"steps {result.first} to {result.steps}"
    loss = "" if result.loss is None else f", loss {result.loss:.4g}"
    host = "" if result.host is None else f"\n  host     {result.host}"
    return f"done: {steps} in {result.seconds:.0f} s{loss}{host}\n  adapter  {result.adapter}"
