"""What the operating system is asked, in one place: Linux, macOS and Windows answer differently, or not at all."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path
from typing import Any

__all__ = ["described", "peak_memory", "usable_cores"]


def usable_cores() -> int:
    """Cores this process may use; all of the machine's where the system keeps no such list (macOS, Windows)."""
    ask = getattr(os, "sched_getaffinity", None)
    return (os.cpu_count() or 1) if ask is None else len(ask(0))


def peak_memory() -> int | None:
    """The largest resident size of this process and its largest child, in MiB; None on Windows (no count)."""
    try:
        import resource
    except ImportError:
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    own, children = (
        resource.getrusage(who).ru_maxrss * unit for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    return round((own + children) / 2**20)


def described() -> dict[str, Any]:
    """Processor, cores and system, for the record of a run.

    ``bfloat16`` lists the instructions a Linux processor has for that type: with others, a training ends elsewhere.
    """
    known = Path("/proc/cpuinfo")
    lines = known.read_text(encoding="utf-8").splitlines() if known.exists() else []
    about = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return {
        "processor": about.get("model name", platform.machine()),
        "bfloat16": sorted(word for word in about.get("flags", "").split() if word.endswith("_bf16")),
        "cores": os.cpu_count(),
        "system": platform.system(),
    }
