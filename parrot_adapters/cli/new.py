"""``parrot new``: an installable plugin to start from, which passes its own tests."""

from __future__ import annotations

import argparse
from pathlib import Path

__all__ = ["command"]


def command(argv: list[str]) -> int:
    """Write the files and say what to do next. 0 done; 2 bad usage."""
    asked = _parser().parse_args(argv)
    from parrot_adapters.plugins.scaffold import write_plugin

    directory = write_plugin(asked.kind, asked.name, None if asked.out is None else Path(asked.out))
    for path in sorted(p for p in directory.rglob("*") if p.is_file()):
        print(f"written      {path}")
    print(f"\nnext:  cd {directory} && pip install -e '.[test]' && python -m pytest")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="parrot new",
        description="Write a distribution parrot-KIND-NAME with an entry point, a module, tests and a README. It "
        "can be installed at once, and passes its own tests.",
    )
    parser.add_argument("kind", choices=("router", "expert", "host"), metavar="KIND", help="router, expert or host")
    parser.add_argument("name", metavar="NAME", help="what users write in a config, such as my-router")
    parser.add_argument("--out", metavar="DIR", help="directory to make (default: parrot-KIND-NAME)")
    return parser
