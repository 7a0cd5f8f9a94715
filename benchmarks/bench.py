"""Every row against its limit and against what one would use instead.  make bench [ARGS="--device cuda experts ..."]

Each file in `rows/` is a theme: a docstring that says what is measured, `COVERS`, the paths of the code that it
describes, and `measure(options)`, which yields rows. To add a theme is to add a file. Results go to
`results/bench-THEME-DEVICE.json`; `python benchmarks/table.py` writes them into the README.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import torch
from harness import RESULTS, Options, Row, as_dict, commit, load_rows, themes, write
from rich.console import Console
from rich.table import Table
from transformers.utils import logging


def show(theme: str, rows: list[Row]) -> None:
    """The rows on the terminal."""
    table = Table("what", "against", "ratio", "limit", "", "spread", title=theme)
    settings = None
    for row in rows:
        if row.settings != settings:
            settings = row.settings
            table.add_section()
            table.add_row(f"[italic]{settings}[/italic]")
        held = {True: "holds", False: "[red]missed[/red]", None: ""}[row.holds]
        limit = "" if row.limit is None else f"{'>=' if row.at_least else '<='} {row.limit:.2f}"
        spread = "" if row.spread is None else f"{row.spread[0]:.2f}..{row.spread[1]:.2f}"
        table.add_row(row.what, row.against, f"{row.ratio:.3f}", limit, held, spread)
    Console().print(table)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("themes", nargs="*", help=f"some of: {', '.join(themes())}; all by default")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1, help="torch threads on the CPU (default 1: CPU time is read)")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--tiny", action="store_true", help="small shapes, one round: tries the benchmarks out")
    parser.add_argument("--out", type=Path, default=RESULTS, help="where results are written")
    given = parser.parse_args(argv)
    unknown = sorted(set(given.themes) - set(themes()))
    if unknown:
        parser.error(f"no theme named {', '.join(unknown)}; there are {', '.join(themes())}")
    if given.device.startswith("cuda") and not torch.cuda.is_available():
        parser.error(f"torch {torch.__version__} finds no CUDA device here; without --device the CPU is measured")
    logging.disable_progress_bar()
    torch.set_num_threads(given.threads)
    options = Options(given.device, given.threads, 1 if given.tiny else given.repeats, given.tiny)
    missed, code = 0, commit()  # before it runs: what is written meanwhile was not measured
    chosen = given.themes or list(themes())
    for number, theme in enumerate(chosen, 1):
        module, start = load_rows(theme), time.monotonic()
        Console().print(f"{theme} ({number} of {len(chosen)}): {(module.__doc__ or '').splitlines()[0]}")
        rows = list(module.measure(options))
        show(theme, rows)
        Console().print(f"took {time.monotonic() - start:.0f} s")
        missed += sum(row.holds is False for row in rows)
        settings = {"covers": list(module.COVERS), "tiny": options.tiny}
        if not (options.tiny and given.out == RESULTS):
            write(f"bench-{theme}", settings, [as_dict(row) for row in rows], options, given.out, code)
    Console().print(f"{missed} limits missed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
