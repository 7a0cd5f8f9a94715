"""Make an environment and run something in it, with nothing but Python.  python3 .ci/do.py quickstart|test|...

An active virtual environment is used as it is, and its torch is kept if it meets the floor; otherwise `.venv` is made.
Without an NVIDIA driver the versions in `.ci/constraints-cpu.txt` apply, so that no CUDA build is pulled where that
file's torch is at hand as a CPU build; with one, the newest torch is taken.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TORCH_FLOOR = (2, 6)
EXTRAS = "quickstart,evaluate,train,test,dev"
PLUGINS = sorted(p.parent for p in ROOT.glob("plugins/*/pyproject.toml"))
PYTEST = ["-m", "pytest", "-n", "2", "--dist", "worksteal"]
SLOW = [  # what repeats a behaviour in another size, and more drawn cases of what the default tier runs
    [*PYTEST, "-m", "slow and not gpu"],
    [*PYTEST, "-m", "(hypothesis or conformance) and not slow and not gpu", "--hypothesis-profile", "thorough"],
]

TASKS = {
    "setup": [],
    "quickstart": [["-m", "parrot_adapters", "quickstart"]],
    "bench": [["benchmarks/bench.py"]],
    "test": [PYTEST],
    "test-slow": SLOW,
    "format": [["-m", "ruff", "format"], ["-m", "ruff", "check", "--fix"]],
    "lint": [["-m", "ruff", "format", "--check"], ["-m", "ruff", "check"]],
    "types": [["-m", "mypy"]],
    "check": [
        ["-m", "ruff", "format", "--check"],
        ["-m", "ruff", "check"],
        ["-m", "mypy"],
        PYTEST,
    ],
}


def main(argv: list[str]) -> int:
    if not argv or argv[0] not in TASKS:
        print(f"usage: python3 .ci/do.py {'|'.join(TASKS)} [arguments]", file=sys.stderr)
        return 2
    if sys.version_info < (3, 11):  # noqa: UP036 (this file runs before the project is installed)
        print(f"parrot_adapters needs Python 3.11 or newer; this is {sys.version.split()[0]}", file=sys.stderr)
        return 2
    task, *rest = argv
    python = environment()
    install(python)
    for number, command in enumerate(TASKS[task], 1):
        extra = rest if number == len(TASKS[task]) else []
        status = subprocess.call([str(python), *command, *extra], cwd=ROOT)
        if status:
            return status
    return 0


def environment() -> Path:
    """The Python to use: that of the active environment, or of `.venv`, made if needed."""
    if sys.prefix != sys.base_prefix or os.environ.get("CONDA_PREFIX"):
        return Path(sys.executable)
    if active := os.environ.get("VIRTUAL_ENV"):
        return _python_of(Path(active))
    if not _python_of(ROOT / ".venv").exists():
        print("making .venv ...", flush=True)
        venv.create(ROOT / ".venv", with_pip=True)
    return _python_of(ROOT / ".venv")


def install(python: Path) -> None:
    """Install torch first, then the project and its plugins; skipped when nothing changed since the last time."""
    sources = [ROOT / "pyproject.toml", *(p / "pyproject.toml" for p in PLUGINS), *ROOT.glob(".ci/constraints*.txt")]
    state = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()
    stamp = Path(_ask(python, "import sys; print(sys.prefix)")) / ".parrot_adapters_installed"
    if stamp.exists() and stamp.read_text() == state:
        return
    have = _ask(python, "import importlib.metadata as m; print(m.version('torch'))")
    constraints: list[str] = []
    if have and _numbers(have) >= TORCH_FLOOR:
        print(f"keeping torch {have}", flush=True)
        pinned = stamp.with_name("parrot_adapters-constraints.txt")
        pinned.write_text(f"torch=={have}\n")
        constraints = ["-c", str(pinned)]
    else:
        if not has_nvidia_driver():
            constraints = ["-c", str(ROOT / ".ci" / "constraints-cpu.txt")]
        _pip(python, *constraints, f"torch>={'.'.join(map(str, TORCH_FLOOR))}")
    projects = [f"{ROOT}[{EXTRAS}]", *map(str, PLUGINS)]
    _pip(python, *constraints, *(part for project in projects for part in ("-e", project)))
    stamp.write_text(state)


def has_nvidia_driver() -> bool:
    return shutil.which("nvidia-smi") is not None or Path("/proc/driver/nvidia/version").exists()


def _pip(python: Path, *arguments: str) -> None:
    print("pip install", *arguments, flush=True)
    uv = _ask(python, "import pip; print(1)") != "1" and shutil.which("uv")
    command = [uv, "pip", "install", "--python", str(python)] if uv else [str(python), "-m", "pip", "install", "-q"]
    subprocess.run([*command, *arguments], cwd=ROOT, check=True)


def _ask(python: Path, code: str) -> str:
    return subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=False).stdout.strip()


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("+")[0].split(".")[:2])


def _python_of(environment: Path) -> Path:
    return environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
