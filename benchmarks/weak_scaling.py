"""What a model of a step says of 1 to 512 GPUs, with the same micro-batch on each: arithmetic, nothing is measured.

    python benchmarks/weak_scaling.py [--compute 400e12 --inside 300e9 --between 50e9 --latency 5e-6]

A step of one GPU: 2 floating point operations for each weight that a token goes through, forward, again where it is
recomputed, again for the gradient of the tokens, and again for the gradient of weights that train. Of the vision tower,
attention's own products, optimizer and data it knows nothing. What GPUs send each other: rings of collectives whose
slowest link is that between machines as soon as there are two. `ddp` sums the gradients of what trains once, in
float32. `fsdp2` gathers every decoder layer twice in bfloat16 (before forward, before backward), what is outside the
layers once, and deals out the gradients in bfloat16. `hidden` is the best case: all but the largest of arithmetic and
sending is hidden behind it; `open` the worst: nothing is. A run is between the two if the numbers given are true of it.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from harness import HERE

PLOT = HERE / "results" / "weak_scaling.png"
COUNTS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
TOKENS, VISUAL = 2 * 2048, 2 * 640


class Host(NamedTuple):
    """Sizes as their configurations have them (tests/support/real_architectures.py)."""

    width: int
    layers: int
    of_layer: int  # weights
    outside: int


HOSTS = {
    "7B (Qwen2.5-VL)": Host(3584, 28, 233_057_792, 1_766_548_480),
    "72B (Qwen2.5-VL)": Host(8192, 80, 877_684_736, 3_195_998_464),
}


class Job(NamedTuple):
    """Weights that train outside the layers and inside each, and whether the host is sharded."""

    experts: int
    full: bool
    sharded: bool


JOBS = {
    "6 experts, ddp": Job(6, full=False, sharded=False),
    "6 experts, fsdp2": Job(6, full=False, sharded=True),
    "64 experts, fsdp2": Job(64, full=False, sharded=True),
    "6 experts and the whole host, fsdp2": Job(6, full=True, sharded=True),
}


class Machine(NamedTuple):
    """Operations and bytes in a second, of one GPU; seconds of a message; GPUs of a machine."""

    compute: float
    inside: float
    between: float
    latency: float
    per_machine: int


def bank(host: Host, job: Job) -> float:
    """Weights of SwiGLU experts as wide as the host."""
    return 3.0 * job.experts * host.width**2


def arithmetic(host: Host, job: Job, machine: Machine) -> float:
    """Seconds of a step's products on one GPU."""
    through, experts = host.layers * host.of_layer * TOKENS, bank(host, job) * VISUAL
    return 2 * (through * (4 if job.full else 3) + experts * 4) / machine.compute


def sending(host: Host, job: Job, machine: Machine, gpus: int) -> float:
    """Seconds of a step's collectives on so many."""
    if gpus == 1:
        return 0.0
    rate = machine.inside if gpus <= machine.per_machine else min(machine.inside, machine.between)
    inside_layers = host.layers * host.of_layer
    trained = bank(host, job) + (inside_layers + host.outside if job.full else 0)
    if job.sharded:
        sent = 2 * (2 * inside_layers + host.outside + bank(host, job) + trained)
        collectives = 2 * host.layers + 2 + (host.layers if job.full else 0)
    else:
        sent, collectives = 2 * 4 * trained, 2  # dealt out and gathered again
    return (gpus - 1) * (sent / gpus / rate + collectives * machine.latency)


def shares(host: Host, job: Job, machine: Machine, gpus: int) -> tuple[float, float]:
    """Share of the time that is arithmetic, where all sending that can be is hidden, and where none is."""
    work, sent = arithmetic(host, job, machine), sending(host, job, machine, gpus)
    return work / max(work, sent), work / (work + sent)


def lines(machine: Machine) -> Iterator[str]:
    """A table of the shares, ``hidden / open``."""
    yield f"| host | trains | {' | '.join(map(str, COUNTS))} |"
    yield "| --- | --- |" + " --- |" * len(COUNTS)
    for name, host in HOSTS.items():
        for kind, job in JOBS.items():
            found = (shares(host, job, machine, gpus) for gpus in COUNTS)
            yield f"| {name} | {kind} | {' | '.join(f'{best:.2f} / {worst:.2f}' for best, worst in found)} |"


def banks() -> Iterator[str]:
    """A table of banks: weights, and GB of what trains them (float32, gradient, AdamW) and of a copy in bfloat16."""
    yield "| host | experts | weights, billions | trained, GB | on each of 8 GPUs, GB | gathered copy, GB |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: |"
    for name, host in HOSTS.items():
        for job in (JOBS["6 experts, fsdp2"], JOBS["64 experts, fsdp2"]):
            size = bank(host, job) / 1e9
            yield f"| {name} | {job.experts} | {size:.2f} | {16 * size:.1f} | {2 * size:.1f} | {2 * size:.1f} |"


def draw(machine: Machine, path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4), layout="constrained")
    for axes, (name, host) in zip(figure.subplots(1, len(HOSTS), sharey=True), HOSTS.items(), strict=True):
        for kind, job in JOBS.items():
            best, worst = zip(*(shares(host, job, machine, gpus) for gpus in COUNTS), strict=True)
            (line,) = axes.plot(COUNTS, best, label=kind, linewidth=1.5)
            axes.fill_between(COUNTS, worst, best, color=line.get_color(), alpha=0.15, linewidth=0)
        axes.set(title=name, xlabel="GPUs", ylim=(0, 1.03), xscale="log")
        axes.set_xticks(COUNTS, [str(count) for count in COUNTS], fontsize=8)
        axes.minorticks_off()
        axes.grid(alpha=0.3)
    figure.axes[0].set_ylabel("share of a step that is arithmetic")
    title = "line: all sending is hidden behind arithmetic; band: down to none"
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, title=title)
    figure.savefig(path, dpi=120)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--compute", type=float, default=400e12, help="operations a second of a GPU (40%% of an H100)")
    parser.add_argument("--inside", type=float, default=300e9, help="bytes a second between GPUs of a machine")
    parser.add_argument("--between", type=float, default=50e9, help="bytes a second of a GPU to another machine")
    parser.add_argument("--latency", type=float, default=5e-6, help="seconds of a message")
    parser.add_argument("--per-machine", type=int, default=8, help="GPUs of a machine")
    parser.add_argument("--plot", type=Path, default=PLOT)
    given = parser.parse_args(argv)
    machine = Machine(given.compute, given.inside, given.between, given.latency, given.per_machine)
    print(*lines(machine), "", *banks(), sep="\n")
    draw(machine, given.plot)


if __name__ == "__main__":
    main()
