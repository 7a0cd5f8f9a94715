"""Wheels for a machine without a network that has torch and an older transformers.  python benchmarks/gpu_bundle.py DIR

Takes the newest wheels for a Python and Linux on x86-64, the library itself among them, without torch and what comes
with it, and files given with `--also` (prepared features), in order of worth until the bundle is full.
Unpacked there: `python benchmarks/gpu.py --bundle DIR --out results`.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WHEELS = [  # in order of worth
    "transformers>=5.20",
    "tokenizers",
    "huggingface_hub>=1.0",
    "safetensors>=0.5",
    "typer",
    "shellingham",
    "httpx2",
    "httpcore2",
    "truststore",
    "annotated-doc",
    "h11",
    "anyio",
    "idna",
    "certifi",
    "click>=8.5",
    "regex",
    "pluggy",
    "xxhash>=3.4",
    "lazy_loader",
    "einops",
    "peft>=0.19",
    "accelerate",
    "psutil",
    "pyyaml",
    "rich",
    "pygments",
    "markdown-it-py",
    "mdurl",
    "packaging",
    "tqdm",
    "filelock",
    "fsspec",
    "pydantic",
    "pydantic-core",
    "annotated-types",
    "typing-inspection",
    "typing-extensions",
    "jinja2",
    "markupsafe",
    "pytest",
    "iniconfig",
    "hypothesis",
    "sortedcontainers",
    "attrs",
    "pillow",
    "hf-xet",
    "numpy",
    "scipy",
]


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--python", default=f"{sys.version_info.major}.{sys.version_info.minor}")
    parser.add_argument("--megabytes", type=float, default=60.0, help="the most that the bundle may hold")
    parser.add_argument("--also", type=Path, nargs="*", default=[], help="files and folders to bring along")
    given = parser.parse_args(argv)
    wheels, room = given.out / "wheels", given.megabytes * 1e6
    wheels.mkdir(parents=True, exist_ok=True)
    for path in given.also:
        target = given.out / "also" / path.name
        copy = shutil.copytree if path.is_dir() else shutil.copy
        target.parent.mkdir(exist_ok=True)
        copy(path, target)
    subprocess.run([*pip("wheel"), "--no-deps", "-w", str(wheels), str(ROOT)], check=True)
    platform = ["--only-binary=:all:", "--python-version", given.python]
    platform += [part for tag in ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64") for part in ("--platform", tag)]
    taken, left_out = [], []
    room -= size_of(given.out)
    with tempfile.TemporaryDirectory() as all_of_them:
        subprocess.run([*pip("download"), "--no-deps", *platform, "-d", all_of_them, *WHEELS], check=True)
        files = {plain(path.name.split("-")[0]): path for path in Path(all_of_them).iterdir()}
        for wanted in WHEELS:
            path = files[plain(wanted.split(">")[0])]
            if path.stat().st_size > room:
                left_out.append(path.name)
            else:
                room -= path.stat().st_size
                taken.append(path.name)
                shutil.copy(path, wheels)
    absent = sorted(asked_for(wheels) - {plain(path.name.split("-")[0]) for path in wheels.iterdir()})
    listing = {"wheels": taken, "left_out": left_out, "absent": absent, "megabytes": round(size_of(given.out) / 1e6, 1)}
    (given.out / "bundle.json").write_text(json.dumps(listing, indent=2) + "\n")
    print(json.dumps(listing, indent=2))
    return 0


def pip(command: str) -> list[str]:
    return [sys.executable, "-m", "pip", command, "-q", "--disable-pip-version-check"]


def asked_for(wheels: Path) -> set[str]:
    """What the wheels need, extras left out; what is not among them must be on the machine already."""
    found = set()
    for path in wheels.glob("*.whl"):
        with zipfile.ZipFile(path) as wheel:
            name = next(name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
            lines = wheel.read(name).decode().splitlines()
        needs = (
            line.partition(": ")[2] for line in lines if line.startswith("Requires-Dist: ") and "extra ==" not in line
        )
        found |= {plain(re.split(r"[^\w.-]", need, maxsplit=1)[0]) for need in needs}
    return found


def plain(name: str) -> str:
    """A package's name, however it is written."""
    return name.lower().replace("_", "-").replace(".", "-")


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


if __name__ == "__main__":
    sys.exit(main())
