"""``parrot plan``: what a training run would do, before anything is loaded."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from parrot_adapters.cli.commands import argument, option, parrot_command
from parrot_adapters.errors import ConfigError

if TYPE_CHECKING:
    from parrot_adapters.console import Table
    from parrot_adapters.training.cluster_plan import ClusterPlan
    from parrot_adapters.training.layer_plan import LayerPlan
    from parrot_adapters.training.plan import Plan

__all__ = ["command", "plan_tables"]

UNIT = ("B", "KiB", "MiB", "GiB", "TiB")


@parrot_command(
    "plan",
    examples=["parrot plan runs/mixture/config.yaml"],
)
@argument("config", metavar="CONFIG", help="YAML file of parrot train")
@argument("overrides", nargs=-1, metavar="[key=value]...", help="replace settings: batch.per_device=4")
@option("--processes", type=int, metavar="N", help="how many share the run (WORLD_SIZE, else 1)")
@option("--gpus", default="", show_default=False, metavar="N,N,...", help="also plan for so many GPUs, by any engine")
@option("--gpu-memory", type=float, default=80.0, metavar="GIB", help="memory of one of those")
@option("--json", "as_json", is_flag=True, help="print only a JSON document")
def command(
    config: str, overrides: tuple[str, ...], processes: int | None, gpus: str, gpu_memory: float, as_json: bool
) -> int:
    """What a training run would do: steps, data, memory; loads no weights.

    What trains, on what data, for how many steps, in how much memory: the host's config.json is enough for that.

    Exit code: 0 parrot train can start, 2 it would refuse this configuration, or stop at its data.
    """
    from parrot_adapters.training import load_config

    run = load_config(config, overrides)
    processes = processes if processes is not None else int(os.environ.get("WORLD_SIZE", "1"))
    if processes < 1:
        raise ConfigError(f"--processes must be at least 1, not {processes}")
    counts = _counts(gpus)
    from parrot_adapters.console import print_json, show, waiting
    from parrot_adapters.training.plan import make_plan

    with waiting("planning"):
        plan = make_plan(run, processes=processes, counts=counts, device_memory=round(gpu_memory * 1024**3))
    if as_json:
        print_json(plan.to_dict())
    else:
        show(*plan_tables(plan), *(f"note: {note}" for note in plan.notes))
        show(*(f"problem: {problem}" for problem in plan.problems))
    return 2 if plan.problems else 0


def plan_tables(plan: Plan) -> list[Table]:
    """What trains, the optimizer's groups, layers with experts, the data, memory, and the run in a line."""
    run = plan.config
    tables = [
        _table(
            f"{run.recipe} on {plan.host}",
            ("role", "", "parameters"),
            [(r.role, "trains" if r.trainable else "frozen", f"{r.parameters:,}") for r in plan.roles],
        ),
        _table(
            f"AdamW, {run.optim.schedule}, warm-up {run.optim.warmup_ratio:.0%}",
            ("group", "parameters", "learning rate", "weight decay"),
            [(g.role, f"{g.parameters:,}", f"{g.learning_rate:g}", f"{g.weight_decay:g}") for g in plan.groups],
        ),
    ]
    if plan.layers:
        tables.append(_layer_table(plan.layers))
    if plan.data.sources:
        rows = [
            (_short(s.path), s.format, "?" if s.samples is None else f"{s.samples:,}", f"{s.weight:g}")
            for s in plan.data.sources
        ]
        tables.append(_table("Data", ("source", "format", "samples", "weight"), rows))
    if plan.data.languages:
        total = sum(plan.data.languages.values())
        counts = sorted(plan.data.languages.items(), key=lambda item: -item[1])
        tables.append(
            _table("An epoch", ("language", "samples", "share"), [(n, f"{c:,}", f"{c / total:.1%}") for n, c in counts])
        )
    tables.append(_table("Run", ("", "value"), _run_rows(plan)))
    if plan.memory is not None:
        memory = plan.memory
        among = f"{memory.processes} process" + ("es" if memory.processes > 1 else "")
        sizes = [(name, readable(size)) for name, size in memory.parts.items()]
        title = f"Memory per device: {memory.engine}, {among} ({memory.batch})"
        tables.append(_table(title, ("", "estimate"), [*sizes, ("total", readable(memory.total))]))
    if plan.clusters:
        tables.append(_cluster_table(plan.clusters))
    return tables


def _counts(gpus: str) -> tuple[int, ...]:
    """``"1,2,4"`` as numbers, each once."""
    try:
        counts = tuple(sorted({int(each) for each in gpus.split(",") if each.strip()}))
    except ValueError:
        counts = (0,)
    if any(count < 1 for count in counts):
        raise ConfigError(f"--gpus must be numbers of at least 1 with commas between them, not {gpus!r}")
    return counts


def _cluster_table(clusters: Sequence[ClusterPlan]) -> Table:
    from parrot_adapters.console import Table
    from parrot_adapters.training.cluster_plan import ENGINES

    rows = []
    for count in dict.fromkeys(one.processes for one in clusters):
        alike = {one.engine: one for one in clusters if one.processes == count}
        accumulation = next(iter(alike.values())).accumulation
        sizes = [readable(alike[engine].total) for engine in ENGINES]
        shown = [size if alike[engine].fits else f"({size})" for engine, size in zip(ENGINES, sizes, strict=True)]
        rows.append((str(count), "cannot be dealt" if accumulation is None else str(accumulation), *shown))
    return Table(
        ("GPUs", "accumulated", *ENGINES),
        rows,
        title="Memory of each GPU",
        caption="(in brackets: does not fit, with 2 GiB for what is no tensor; cannot be dealt; fsdp2 on one GPU)",
    )


def _layer_table(layers: Sequence[LayerPlan]) -> Table:
    rows = [(g.name, f"{g.count} of {g.in_features:,} -> {g.out_features:,}", f"{g.parameters:,}") for g in layers]
    total = (f"{sum(g.count for g in layers):,}", f"{sum(g.parameters for g in layers):,}")
    numbers = {number for group in layers for number in group.layers}
    return _table(
        f"Experts inside {len(numbers)} decoder layers, at visual tokens only",
        ("linear layers", "how many", "parameters"),
        [*rows, ("total", *total)],
    )


def _run_rows(plan: Plan) -> list[tuple[str, str]]:
    run, data = plan.config, plan.data
    length = "at most " if data.tokens is None else ""
    return [
        ("steps", "unknown: say steps, or let the data be read" if plan.steps is None else f"{plan.steps:,}"),
        (
            "samples per step",
            f"{plan.samples_per_step} = {run.batch.per_device} x {plan.accumulation} accumulated"
            + (f" x {plan.memory.processes} processes" if plan.memory and plan.memory.processes > 1 else "")
            + (f", each micro-batch in {run.engine.pieces} pieces" if run.engine.pieces > 1 else ""),
        ),
        ("tokens per step", f"{length}{plan.tokens_per_step:,}"),
        (
            "tokens per sample",
            f"at most {run.data.max_length:,}"
            if data.tokens is None
            else f"{data.tokens:,.0f} on average, {data.longest:,} at most, of {data.counted} counted",
        ),
        *([("padding", _padding(plan))] if data.padding else []),
        (
            "weights and arithmetic",
            f"{run.host.dtype}, {run.engine.compute}"
            + (", activations recomputed" if run.engine.gradient_checkpointing else ""),
        ),
    ]


def _padding(plan: Plan) -> str:
    """The run's own layout first."""
    settings, shares = plan.config.data, dict(plan.data.padding)
    own = "packed" if settings.packing else "grouped" if settings.group_by_length else "padded"
    others = ", ".join(f"{name} {share:.0%}" for name, share in shares.items() if name != own)
    return f"{shares[own]:.0%} of the positions ({others})"


def readable(size: int) -> str:
    """Bytes for people: ``13.2 GiB``."""
    power = 0
    value = float(size)
    while value >= 1024 and power < len(UNIT) - 1:
        value, power = value / 1024, power + 1
    return f"{value:.1f} {UNIT[power]}" if power else f"{size} B"


def _short(path: str) -> str:
    """The end of a path, which tells it from others."""
    return "/".join(Path(path).parts[-2:])


def _table(title: str, columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> Table:
    from parrot_adapters.console import Table

    last = rows[-1:] if rows and rows[-1][0] == "total" else []
    lines: list[tuple[str, ...] | None] = [*rows[: len(rows) - len(last)], *([None, *last] if last else [])]
    return Table(columns, lines, title=title, text=("", "format", "value"))
