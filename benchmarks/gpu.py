"""Everything that needs a GPU, in order of worth, in bounded time.  python benchmarks/gpu.py --out DIR --minutes 9

Each part is a process with a time limit; its rows go to DIR/PART.jsonl as they come, its output to DIR/PART.log, and
DIR/summary.json says how each ended. `--device cpu` rehearses it at small shapes. `--bundle FOLDER` (of gpu_bundle.py)
installs what this machine lacks from wheels, into DIR/site, without a network.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

HERE = Path(__file__).resolve().parent
SECONDS = {
    "tests": 150,
    "layer": 90,
    "sparse": 90,
    "waits": 60,
    "memory": 90,
    "generation": 90,
    "loading": 60,
    "inductor": 150,
}


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=9.0)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--bundle", type=Path, help="folder made by gpu_bundle.py")
    parser.add_argument("--parts", nargs="*", default=list(SECONDS), choices=list(SECONDS))
    parser.add_argument("--part", choices=list(SECONDS), help=argparse.SUPPRESS)
    given = parser.parse_args(argv)
    given.out.mkdir(parents=True, exist_ok=True)
    if given.part:
        return run_part(given.part, given.device, given.out)
    end = time.monotonic() + 60 * given.minutes
    environment = dict(os.environ)
    if given.bundle:
        site = given.out / "site"
        install(given.bundle, site)
        environment["PYTHONPATH"] = os.pathsep.join([str(HERE.parent), str(site.resolve())])
    environment["PARROT_TEST_DEVICE"] = given.device
    ended = {}
    for part in given.parts:
        left = end - time.monotonic()
        if left < 5:
            ended[part] = "no time left"
        else:
            most = left if part == given.parts[-1] else left / 2  # the first shall not take all of a short time
            ended[part] = bounded(part, min(most, SECONDS[part]), given, environment)
        (given.out / "summary.json").write_text(json.dumps({"device": given.device, "parts": ended}, indent=2) + "\n")
        print(f"{part}: {ended[part]}", flush=True)
    return 0 if all(how.startswith("done") for how in ended.values()) else 1


def bounded(part: str, seconds: float, given: argparse.Namespace, environment: dict[str, str]) -> str:
    """Run a part; how it ended."""
    command = [sys.executable, str(HERE / "gpu.py"), "--out", str(given.out), "--device", given.device, "--part", part]
    if part == "tests":
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "gpu", "tests/gpu"]
    start = time.monotonic()
    with open(given.out / f"{part}.log", "w") as log:
        try:
            done = subprocess.run(
                command, cwd=HERE.parent, env=environment, stdout=log, stderr=log, timeout=seconds, check=False
            )
        except subprocess.TimeoutExpired:
            return f"stopped after {seconds:.0f} s; rows until then are kept"
    took = time.monotonic() - start
    return f"done in {took:.0f} s" if done.returncode == 0 else f"failed ({done.returncode}) after {took:.0f} s"


def run_part(part: str, device: str, out: Path) -> int:
    """The rows of a part, written as they come."""
    import torch
    from gpu_parts import PARTS
    from harness import Options, as_dict, commit, device_name

    torch.set_num_threads(1)
    tiny = device == "cpu"
    options = Options(device, repeats=1 if tiny else 10, tiny=tiny)
    made = {"device_name": device_name(device), "torch": torch.__version__, "commit": commit()}
    with open(out / f"{part}.jsonl", "w") as file:
        for row in PARTS[part](options):
            file.write(json.dumps({**as_dict(row), **made}) + "\n")
            file.flush()
            print(row, flush=True)
    return 0


def install(bundle: Path, site: Path) -> None:
    """Install the wheels of packages that are missing here, or older than the wheel, into a folder."""
    wanted = [wheel for wheel in sorted((bundle / "wheels").glob("*.whl")) if is_missing(wheel, site)]
    print(f"installing {len(wanted)} wheels: {', '.join(wheel.name.split('-')[0] for wheel in wanted)}", flush=True)
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "-q",
        "--no-index",
        "--no-deps",
        "--no-compile",
        "--target",
        str(site),
    ]
    if wanted:
        subprocess.run([*pip, *map(str, wanted)], check=True)


def is_missing(wheel: Path, site: Path) -> bool:
    name, number = wheel.name.split("-")[:2]
    if (site / f"{name}-{number}.dist-info").exists():
        return False
    try:
        have = version(name)
    except PackageNotFoundError:
        return True
    return numbers(have) < numbers(number)


def numbers(text: str) -> tuple[int, ...]:
    parts = [part for part in text.split("+")[0].split(".") if part.isdigit()]
    return tuple(int(part) for part in parts)


if __name__ == "__main__":
    sys.exit(main())
