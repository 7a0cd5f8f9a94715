"""``parrot plugins``: what there is to choose from, where it comes from, and which plugins failed."""

from __future__ import annotations

import argparse
import json
import warnings
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from parrot_adapters.plugins import Component, PluginInfo

__all__ = ["command"]


def command(argv: list[str]) -> int:
    """List components, and the plugins that could not be used. Always 0: a failed plugin breaks nothing but itself."""
    asked = _parser().parse_args(argv)
    if asked.installed:
        return _list_installed(as_json=asked.json)
    from parrot_adapters.errors import ParrotWarning
    from parrot_adapters.plugins import manager

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ParrotWarning)  # the list of failures says it all
        components = manager.examine()
        unusable = manager.failures()
    if asked.json:
        print(
            json.dumps(
                {"components": [_component(c) for c in components], "failures": [_plugin(i) for i in unusable]},
                indent=2,
                ensure_ascii=False,
            )
        )
    else:
        _show(components, unusable)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="parrot plugins",
        description="List routers, experts, hosts and all else that plugins offer, by plugin.",
    )
    parser.add_argument("--json", action="store_true", help="for machines")
    parser.add_argument(
        "--installed", action="store_true", help="list plugin distributions from metadata alone, importing none"
    )
    return parser


def _list_installed(*, as_json: bool) -> int:
    from parrot_adapters.plugins import KINDS, group_of, installed

    kinds = {group_of(kind): kind for kind in KINDS}
    found = [
        {
            "plugin": point.name,
            "offers": kinds.get(point.group, "hooks"),
            "target": point.value,
            "distribution": point.dist.name if point.dist else None,
            "version": point.dist.version if point.dist else None,
        }
        for point in installed()
    ]
    if as_json:
        print(json.dumps({"installed": found}, indent=2, ensure_ascii=False))
    elif found:
        _print_table(list(_INSTALLED), [[p[k] for k in _INSTALLED] for p in found])
    else:
        print("No plugin distribution is installed (entry points parrot_adapters, parrot_adapters.routers ...).")
    return 0


_INSTALLED = ("plugin", "offers", "distribution", "version", "target")


def _component(component: Component) -> dict[str, Any]:
    return {"kind": component.kind, "name": component.name, **_plugin(component.plugin, error=False)}


def _plugin(info: PluginInfo, *, error: bool = True) -> dict[str, Any]:
    shown = {
        "plugin": info.name,
        "source": info.source,
        "distribution": info.distribution,
        "version": info.version,
    }
    return shown | {"error": info.error, "barred": info.barred} if error else shown


def _show(components: list[Component], unusable: list[PluginInfo]) -> None:
    rows = []
    for c in components:
        built_in = c.plugin.source == "built in"
        origin = "built in" if built_in else c.plugin.distribution or f"{c.plugin.name} ({c.plugin.source})"
        rows.append([c.kind, c.name, origin, version("parrot_adapters") if built_in else c.plugin.version])
    _print_table(["kind", "name", "plugin", "version"], rows)
    for info in unusable:
        where = info.name if info.name in str(info) else f"{info.name} of {info}"
        print(f"{'left out' if info.barred else 'FAILED'}  {where}: {info.error}")


def _print_table(headings: list[str], rows: list[list[Any]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table()
    for heading in headings:
        table.add_column(heading, overflow="fold")
    before = None
    for row in rows:
        if before is not None and row[0] != before and headings[0] == "kind":
            table.add_section()
        before = row[0]
        table.add_row(*(Text("" if value is None else str(value)) for value in row))
    Console().print(table)
