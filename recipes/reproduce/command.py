"""``parrot reproduce``: the study, or a part of it, from where it stands to its end."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import click
from parrot_recipes.emoji.pretrained import ACCEPTED

from parrot_adapters.cli.commands import argument, option, parrot_command

from .arms import ARMS, REMEDIES
from .presets import PRESETS, REGIMES, preset

__all__ = ["command"]


def _listed(context: click.Context, parameter: click.Parameter, value: str | None) -> list[str] | None:
    return None if value is None else [key.strip() for key in value.split(",") if key.strip()]


@parrot_command("reproduce")
@option("--out", type=click.Path(path_type=Path), default=Path("parrot-reproduce"), help="where everything goes")
@option(
    "--preset",
    "name",
    type=click.Choice(sorted(PRESETS)),
    default="study",
    metavar="NAME",
    help=f"what to run: {', '.join(sorted(PRESETS))}",
)
@option(
    "--regime",
    "regimes",
    multiple=True,
    type=click.Choice(sorted(REGIMES)),
    metavar="NAME",
    help=f"only this; repeatable: {', '.join(REGIMES)}  [all]",
)
@option(
    "--arms",
    callback=_listed,
    metavar="A,B,...",
    help="only these; no adapter, and arms whose weights others take, are always among them  [the preset's]",
)
@option("--seeds", type=click.IntRange(1), metavar="N", help="only the first N seeds")
@option("--seed", "chosen", type=int, multiple=True, metavar="S", help="only this seed, any number; repeatable")
@option("--list-arms", is_flag=True, help="say what arms there are and what each rules out, and run nothing")
@option("--so-far", is_flag=True, help="train nothing, report what is there")
@option("--publish", type=click.Path(path_type=Path), metavar="DIR", help="tables and figures beside DIR/README.md")
@option("--as", "named", metavar="NAME", help="with --publish: beside what was published before, under this name")
@option("--workers", type=click.IntRange(0), metavar="N", help="arms trained at once  [one]")
@option("--device", type=click.Choice(("cpu", "cuda")), help="where  [the preset's]")
@option(
    "--rivals",
    type=click.Path(path_type=Path),
    metavar="CONFIG",
    help="compare what is trained by this file of parrot train with what people do instead, on its host and data",
)
@option("--launch", metavar="WORDS", help="with --rivals: what starts training, such as 'torchrun --nproc-per-node 8'")
@option("--accept-gemma-terms", "accepted", is_flag=True, help="say that you have accepted Gemma's terms")
@argument("asked", nargs=-1, type=click.UNPROCESSED, metavar="[-- EVALUATE...]")
def command(
    out: Path,
    name: str,
    regimes: tuple[str, ...],
    arms: list[str] | None,
    seeds: int | None,
    chosen: tuple[int, ...],
    list_arms: bool,
    so_far: bool,
    publish: Path | None,
    named: str | None,
    workers: int | None,
    device: str | None,
    rivals: Path | None,
    launch: str | None,
    accepted: bool,
    asked: tuple[str, ...],
) -> int:
    """Does it work? Arms, several runs, rules fixed beforehand.

    Everything made is kept in --out, and the same command goes on where it was stopped. With --rivals, the words behind
    -- say how every arm is asked; they are those of parrot evaluate, without model, adapter and out.
    """
    if list_arms:
        from parrot_adapters.console import Table, show

        rows = [(arm.key, arm.title, arm.purpose) for arm in (*ARMS, *REMEDIES)]
        show(Table(("arm", "what it is", "what it rules out"), rows, text=("what it is", "what it rules out")))
        return 0
    if seeds is not None and chosen:
        raise click.UsageError("--seeds N (the first N) and --seed S (this one) do not go together: give one of them")
    if rivals is not None:
        from .rivals import run_rivals

        numbers = chosen or tuple(range(seeds or 1))
        run_rivals(rivals, out, asked, arms=arms, seeds=numbers, launcher=launch)
        return 0
    if asked or launch:
        raise click.UsageError("words behind -- and --launch belong to --rivals CONFIG")
    if named is not None and publish is None:
        raise click.UsageError("--as names what --publish DIR publishes: give both, or neither")
    from .study import restricted, run

    config = restricted(preset(name), regimes or None, chosen or seeds, arms)
    if workers is not None:
        config = replace(config, workers=workers)
    if device is not None:
        config = replace(config, compute=replace(config.compute, device=device))  # type: ignore[arg-type]
    if accepted:
        os.environ[ACCEPTED] = "1"
    from parrot_recipes.emoji.compute import quiet

    quiet()
    run(config, out, so_far=so_far)
    if publish is not None:
        from .publish import publish as put

        put(out, publish, named)
    return 0
