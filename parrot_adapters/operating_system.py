"""What the operating system is asked, in one place: Linux, macOS and Windows answer differently, or not at all."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path
from typing import IO, Any

__all__ = ["described", "flush", "hold", "new_file_mode", "peak_memory", "release", "runs", "usable_cores"]

WINDOWS = os.name == "nt"


# --- files ----------------------------------------------------------------------------------------------------------


def flush(path: Path) -> None:
    """Wait until the disk has a file, or the names in a directory.

    Args:
        path: File or directory.
    """
    if WINDOWS and path.is_dir():  # cannot be opened there, and needs no flush
        return
    descriptor = os.open(path, os.O_RDWR if WINDOWS else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def new_file_mode() -> int:
    """Return the permissions that new files get."""
    masked = os.umask(0)  # it is told by setting it alone
    os.umask(masked)
    return 0o666 & ~masked


def hold(file: IO[Any], *, wait: bool = False, by_process: bool = False) -> bool | None:
    """Lock an open file against others; the lock ends with :func:`release`, or when the file is closed.

    Args:
        file: Open file.
        wait: Whether to wait for whoever holds it (default: no).
        by_process: Whether the process is what holds it, so that its children do not (default: the open file, so that
            they do, and that another open file of this process is another).

    Returns:
        True: it is held. False: somebody else holds it. None: this system (Windows), or the file system, has no such
        locks, and nobody can tell.
    """
    try:
        import fcntl
    except ImportError:
        return None
    lock = fcntl.lockf if by_process else fcntl.flock
    try:
        lock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):  # POSIX allows either
        return False
    except OSError:  # some file systems of a network
        return None
    return True


def release(file: IO[Any]) -> None:
    """End a lock that :func:`hold` said is held.

    Args:
        file: Open file that was locked, not by process.
    """
    import fcntl

    fcntl.flock(file, fcntl.LOCK_UN)


# --- processes ------------------------------------------------------------------------------------------------------


def runs(process: int) -> bool:
    """Tell whether a process of this machine is running; True where that cannot be asked.

    Args:
        process: Number of the process.
    """
    if WINDOWS:  # signal 0 would end it there
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it belongs to somebody else
        return True
    return True


# --- the machine ----------------------------------------------------------------------------------------------------


def usable_cores() -> int:
    """Return how many cores this process may use; all there are where no such list is kept (macOS, Windows)."""
    ask = getattr(os, "sched_getaffinity", None)
    return (os.cpu_count() or 1) if ask is None else len(ask(0))


def peak_memory() -> int | None:
    """Return the largest resident size of this process and its largest child, in MiB; None on Windows (no count)."""
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
    """Return processor, cores and system, for the record of a run.

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
