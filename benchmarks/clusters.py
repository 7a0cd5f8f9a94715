"""The memory of each GPU for hosts of 7B to 72B on 1 to 64 of them, into docs/memory.md.  python benchmarks/clusters.py

Each row is `parrot plan --gpus` on a host made from its published configuration (`tests/support/real_architectures.py`
has the values and where they are from), without weights. Minutes on a CPU; `--only` takes parts of a host's name.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness import HERE

from parrot_adapters.data import DataSettings, SourceSettings
from parrot_adapters.training import TrainingConfig
from parrot_adapters.training.cluster_plan import HEADROOM
from parrot_adapters.training.plan import make_plan
from parrot_adapters.training.training_config import BatchSettings, EngineSettings, HostSettings

sys.path.append(str(HERE.parent / "tests"))
from support.real_architectures import HOSTS

PAGE = HERE.parent / "docs" / "memory.md"
START, END = "<!-- clusters: python benchmarks/clusters.py -->", "<!-- end of clusters -->"
COUNTS = (1, 2, 4, 8, 16, 32, 64)
GPU = 80 * 2**30
ENGINES = {"ddp": "whole", "fsdp2": "sharded"}
LAYERS = {"placement": "layers", "num_experts": 6, "layer_rank": 8, "expert_options": {"shared_rank": 8}}
FORMS: dict[str, dict[str, Any]] = {
    "stage 1": {"recipe": "stage1"},
    "experts in the layers": {"recipe": "retrofit", "adapter": LAYERS},
}


def configuration(form: str) -> TrainingConfig:
    """128 samples a step, two at a time on a GPU, 2,048 tokens with a picture each, bfloat16, recomputed."""
    return TrainingConfig(
        out="unused",
        host=HostSettings("made here", dtype="bfloat16", processor={"max_pixels": 501760}),  # 640 visual tokens
        data=DataSettings((SourceSettings("made here"),), max_length=2048),
        batch=BatchSettings(size=128, per_device=2),
        engine=EngineSettings(device="cuda", compute="bfloat16", gradient_checkpointing=True),
        **FORMS[form],
    )


def totals(host: str, form: str) -> dict[str, list[int]]:
    """Bytes on a GPU for each number of them, by engine."""
    plan = make_plan(configuration(form), host_config=HOSTS[host][0](), counts=COUNTS, device_memory=GPU)
    assert plan.memory is not None, plan.notes
    return {engine: [one.total for one in plan.clusters if one.engine == engine] for engine in ENGINES}


def cell(total: int) -> str:
    """GiB; in brackets where they do not fit."""
    shown = f"{total / 2**30:,.0f}"
    return shown if total + HEADROOM <= GPU else f"({shown})"


def row(host: str, form: str, engine: str, sizes: list[int]) -> str:
    cells = ["-" if engine == "fsdp2" and count == 1 else cell(size) for count, size in zip(COUNTS, sizes, strict=True)]
    return f"| {host} | {form} | {ENGINES[engine]} | {' | '.join(cells)} |"


def lines(only: list[str]) -> Iterator[str]:
    yield f"| host | trains | weights | {' | '.join(map(str, COUNTS))} |"
    yield "| --- | --- | --- |" + " ---: |" * len(COUNTS)
    for host in HOSTS:
        for form in FORMS if not only or any(part in host for part in only) else ():
            for engine, sizes in totals(host, form).items():
                yield row(host, form, engine, sizes)


def main(argv: list[str] | None = None, page: Path = PAGE) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="*", default=[], help="print the rows of these hosts, and write nothing")
    given = parser.parse_args(argv)
    made = []
    for line in lines(given.only):
        print(line, flush=True)
        made.append(line)
    if not given.only:
        before, rest = page.read_text().split(START)
        page.write_text("\n".join([before + START, "", *made, "", END + rest.split(END)[1]]))


if __name__ == "__main__":
    main()
