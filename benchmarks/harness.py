"""Time variants against each other, alternating, and write a result that says how it was made."""

from __future__ import annotations

import importlib.util
import json
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from rich.console import Console

HERE = Path(__file__).parent
RESULTS = HERE / "results"


@dataclass(frozen=True)
class Options:
    """How a benchmark runs: where, on how many threads, how often, and whether at sizes that only try it out."""

    device: str = "cpu"
    threads: int = 1
    repeats: int = 5
    tiny: bool = False

    @property
    def clock(self) -> Callable[[], float]:
        """CPU time where one thread works: it leaves out what else runs on a machine."""
        return time.process_time if self.device == "cpu" and self.threads == 1 else time.perf_counter


@dataclass(frozen=True)
class Row:
    """One measured ratio: what, against what, and the limit it should stay under (or over, ``at_least``)."""

    what: str
    against: str
    ratio: float
    limit: float | None = None
    spread: tuple[float, float] | None = None
    settings: str = ""
    at_least: bool = False

    @property
    def holds(self) -> bool | None:
        if self.limit is None:
            return None
        return self.ratio >= self.limit if self.at_least else self.ratio <= self.limit


def themes() -> dict[str, Path]:
    """Name and file of every theme."""
    return {path.stem: path for path in sorted((HERE / "rows").glob("*.py"))}


def load_rows(theme: str) -> ModuleType:
    """The module of a theme."""
    spec = importlib.util.spec_from_file_location(f"rows_{theme}", themes()[theme])
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def compare(
    variants: Mapping[str, Callable[[], object]],
    options: Options,
    *,
    clock: Callable[[], float] | None = None,
) -> dict[str, dict[str, Any]]:
    """Time each variant in turn, `options.repeats` rounds; the first one is the baseline.

    `time.process_time` as the clock leaves out what else runs on a machine; it needs one thread and no accelerator.

    Returns:
        Per variant: median seconds, all of them, and the median, least and largest ratio to the baseline of the round.
    """
    clock = clock or options.clock
    for run in variants.values():
        run()  # warm-up
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(options.repeats):
        for name, run in variants.items():
            wait(options.device)
            start = clock()
            run()
            wait(options.device)
            seconds[name].append(clock() - start)
    baseline = seconds[next(iter(variants))]
    found = {}
    for name, times in seconds.items():
        ratios = [t / b for t, b in zip(times, baseline, strict=True)]
        found[name] = {
            "seconds": statistics.median(times),
            "rounds": times,
            "ratio": statistics.median(ratios),
            "ratio_min": min(ratios),
            "ratio_max": max(ratios),
        }
    return found


def rows_of(
    found: Mapping[str, Mapping[str, Any]],
    limits: Mapping[tuple[str, str], float | None],
    *,
    settings: str,
    at_least: bool = False,
) -> Iterator[Row]:
    """A row for each pair of variants: the median of the ratios of their rounds."""
    for (what, against), limit in limits.items():
        ratios = [a / b for a, b in zip(found[what]["rounds"], found[against]["rounds"], strict=True)]
        spread = (min(ratios), max(ratios))
        yield Row(what, against, statistics.median(ratios), limit, spread, settings, at_least)


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


def write(
    theme: str,
    settings: Mapping[str, Any],
    rows: list[dict[str, Any]],
    options: Options,
    folder: Path = RESULTS,
    code: str | None = None,
) -> Path:
    """Write rows with what it takes to judge them: settings, machine, versions, commit, date."""
    result = {
        "theme": theme,
        "settings": dict(settings),
        "repeats": options.repeats,
        "threads": options.threads,
        "device": options.device,
        "device_name": device_name(options.device),
        "commit": commit() if code is None else code,
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "versions": {p: installed(p) for p in ("parrot_adapters", "torch", "transformers", "peft")},
        "rows": rows,
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{theme}-{options.device.replace(':', '')}.json"
    path.write_text(json.dumps(result, indent=2) + "\n")
    Console().print(f"written to {path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path}")
    return path


def as_dict(row: Row) -> dict[str, Any]:
    """A row for JSON."""
    return {**asdict(row), "holds": row.holds}


def device_name(device: str) -> str:
    """The model of the GPU or of the processor."""
    if device.startswith("cuda"):
        return torch.cuda.get_device_name()
    known = Path("/proc/cpuinfo")
    lines = known.read_text().splitlines() if known.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "cpu"


def commit() -> str:
    """The commit that is checked out, with `+` where files differ from it; empty outside of a checkout."""
    head = _git("rev-parse", "--short", "HEAD")
    return f"{head}+" if head and _git("status", "--porcelain", "--", "parrot_adapters") else head


def changed_since(named: str, paths: tuple[str, ...]) -> bool:
    """Whether code differs from what it was at a commit; also where that cannot be told."""
    if not named or named.endswith("+"):
        return True
    done = subprocess.run(["git", "diff", "--quiet", named, "--", *paths], cwd=HERE.parent, check=False)
    return done.returncode != 0


def installed(package: str) -> str:
    """Its version, or a dash."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "-"


def wait(device: str) -> None:
    """Until an accelerator has done what it was given."""
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def _git(*command: str) -> str:
    done = subprocess.run(["git", *command], cwd=HERE.parent, capture_output=True, text=True, check=False)
    return done.stdout.strip()
