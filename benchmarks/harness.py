"""Time variants against a baseline, alternating, and write a result that says how it was made."""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

RESULTS = Path(__file__).parent / "results"


def arguments(description: str) -> argparse.Namespace:
    """The options every benchmark takes."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1, help="torch threads on the CPU")
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--quick", action="store_true", help="three repeats, nothing written")
    options = parser.parse_args()
    options.repeats = 3 if options.quick else options.repeats
    torch.set_num_threads(options.threads)
    return options


def compare(
    variants: Mapping[str, Callable[[], object]],
    *,
    repeats: int,
    device: str,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, dict[str, float]]:
    """Time each variant in turn, `repeats` rounds; the first one is the baseline.

    `time.process_time` as the clock leaves out what else runs on a machine; it needs one thread and no accelerator.

    Returns:
        Per variant: median seconds, and the median, least and largest ratio to the baseline of the same round.
    """
    for run in variants.values():
        run()  # warm-up
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(repeats):
        for name, run in variants.items():
            _wait(device)
            start = clock()
            run()
            _wait(device)
            seconds[name].append(clock() - start)
    baseline = seconds[next(iter(variants))]
    found = {}
    for name, times in seconds.items():
        ratios = [t / b for t, b in zip(times, baseline, strict=True)]
        found[name] = {
            "seconds": statistics.median(times),
            "ratio": statistics.median(ratios),
            "ratio_min": min(ratios),
            "ratio_max": max(ratios),
        }
    return found


def spread_of(measured: Mapping[str, float]) -> str:
    """Least and largest ratio, for a table."""
    return f"{measured['ratio_min']:.2f}..{measured['ratio_max']:.2f}"


def saved_bytes(run: Callable[[], object], module: torch.nn.Module) -> int:
    """Bytes that autograd keeps for backward while `run` builds its graph, the module's own weights left out.

    Storages shared by several tensors count once.
    """
    weights = {p.untyped_storage().data_ptr() for p in module.parameters()}
    kept: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        result = run()
    del result
    return sum(size for pointer, size in kept.items() if pointer not in weights)


def report(theme: str, settings: Mapping[str, Any], rows: list[dict[str, Any]], options: argparse.Namespace) -> None:
    """Print the rows as a table, and write them with everything needed to judge them."""
    table = Table(title=f"{theme}  ({', '.join(f'{k}={v}' for k, v in settings.items())})")
    for column in rows[0]:
        table.add_column(column, justify="left" if isinstance(rows[0][column], str) else "right")
    for row in rows:
        table.add_row(*(f"{v:.3g}" if isinstance(v, float) else str(v) for v in row.values()))
    Console().print(table)
    if options.quick:
        return
    name = torch.cuda.get_device_name() if options.device.startswith("cuda") else platform.processor() or "cpu"
    result = {
        "theme": theme,
        "settings": dict(settings),
        "repeats": options.repeats,
        "threads": options.threads,
        "device": options.device,
        "device_name": name,
        "commit": _commit(),
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "versions": {p: version(p) for p in ("parrot_adapters", "torch", "transformers")},
        "rows": rows,
    }
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{theme}-{options.device.replace(':', '')}.json"
    path.write_text(json.dumps(result, indent=2) + "\n")
    Console().print(f"written to {path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path}")


def _commit() -> str:
    done = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return done.stdout.strip()


def _wait(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize()
