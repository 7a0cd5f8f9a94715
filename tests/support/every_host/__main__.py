"""``python tests/support/every_host [TYPES] [--again] [--write]``: run the matrix, and write the table of it.

Each type runs in a process of its own, with a bound on its memory and its time; what came of it is kept under
``--results``, so that a run that was cut off goes on where it stopped. The table has a column for every release of
transformers that stands there.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import sys
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1]), str(HERE.parents[2])]

SECONDS, BYTES = 120, 12 << 30


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("types", nargs="*", help="types to run; all where none is named")
    parser.add_argument("--again", action="store_true", help="run what has a result already, too")
    parser.add_argument("--results", type=Path, default=None, help="folder of results: RELEASE/TYPE.json")
    parser.add_argument("--write", type=Path, nargs="?", const=HERE.parents[2] / "docs" / "hosts.md", default=None)
    parser.add_argument("--table-only", action="store_true", help="run nothing: write the table of what was run")
    asked = parser.parse_args()
    results = asked.results or Path.home() / ".cache" / "parrot_adapters" / "every_host"
    folder = results / version("transformers")
    folder.mkdir(parents=True, exist_ok=True)
    from support.every_host.build import every_type

    types = every_type()
    for name in [] if asked.table_only else asked.types or types:
        file = folder / f"{name}.json"
        if not asked.again and file.is_file():
            continue
        result = in_its_own_process(name)
        file.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
        print(f"{name:24} {result['verdict']:18} {result['why'][:300]}", flush=True)
    if asked.write is not None:
        from support.every_host.table import write_table

        found = {other.name: _results(other) for other in results.iterdir() if other.is_dir()}
        missing = {name: {"verdict": "not built", "why": "not run"} for name in types}
        write_table(asked.write, found | {folder.name: missing | found[folder.name]})


def _results(folder: Path) -> dict[str, dict[str, Any]]:
    return {file.stem: json.loads(file.read_text("utf-8")) for file in folder.glob("*.json")}


def in_its_own_process(name: str) -> dict[str, Any]:
    """What came of a type, however its process ended."""
    context = multiprocessing.get_context("fork")  # transformers is imported once, by this process
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_run, args=(name, there))
    process.start()
    there.close()
    try:
        result: dict[str, Any] = here.recv() if here.poll(10 * SECONDS) else _ended("it took too long")
    except EOFError:
        process.join()
        result = _ended(f"its process ended with {process.exitcode}")
    process.kill()
    process.join()
    return result


def _ended(why: str) -> dict[str, Any]:
    return {"verdict": "not built", "why": f"{why} (at most {SECONDS} seconds of a processor and {BYTES >> 30} GiB)"}


def _run(name: str, answer: Any) -> None:
    import torch
    import transformers

    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    transformers.logging.set_verbosity_error()
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (BYTES, BYTES))
    from support.every_host.matrix import run

    answer.send(run(name))


if __name__ == "__main__":
    main()
