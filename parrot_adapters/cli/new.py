"""``parrot new``: an installable plugin to start from, which passes its own tests."""

from __future__ import annotations

from pathlib import Path

import click

from parrot_adapters.cli.commands import argument, option, parrot_command

__all__ = ["command"]


@parrot_command(
    "new",
    examples=["parrot new router my-router --out runs/my-router"],
)
@argument(
    "kind",
    type=click.Choice(["router", "expert", "layer-expert", "host"]),
    metavar="KIND",
    help="router, expert, layer-expert or host",
)
@argument("name", metavar="NAME", help="what users write in a config, such as my-router")
@option("--out", type=click.Path(path_type=Path), metavar="DIR", help="directory to make; else parrot-KIND-NAME")
def command(kind: str, name: str, out: Path | None) -> None:
    """Write an installable router, expert, layer-expert or host plugin to start from.

    It is a distribution parrot-KIND-NAME with an entry point, a module, tests and a README, which can be installed at
    once and passes its own tests.
    """
    from parrot_adapters.plugins.scaffold import write_plugin

    directory = write_plugin(kind, name, out)
    for path in sorted(p for p in directory.rglob("*") if p.is_file()):
        print(f"written      {path}")
    print(f"\nnext:  cd {directory} && pip install -e '.[test]' && python -m pytest")
