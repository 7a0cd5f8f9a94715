"""``parrot plugins``: what there is to choose from, where it comes from, and which plugins failed."""

from __future__ import annotations

import warnings
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from parrot_adapters.cli.commands import option, parrot_command

if TYPE_CHECKING:
    from parrot_adapters.plugins import Component, PluginInfo

__all__ = ["command"]

INSTALLED = ("plugin", "offers", "distribution", "version", "target")


@parrot_command(
    "plugins",
    examples=["parrot plugins --installed"],
)
@option("--json", "as_json", is_flag=True, help="print only a JSON document")
@option("--installed", is_flag=True, help="list plugin distributions from metadata alone, importing none")
def command(as_json: bool, installed: bool) -> None:
    """List routers, experts, hosts and where they come from.

    The exit code is always 0: a failed plugin breaks nothing but itself.
    """
    if installed:
        _list_installed(as_json=as_json)
        return
    from parrot_adapters.errors import ParrotWarning
    from parrot_adapters.plugins import manager

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ParrotWarning)  # the list of failures says it all
        components = manager.examine()
        unusable = manager.failures()
    if as_json:
        from parrot_adapters.console import print_json

        print_json({"components": [_component(c) for c in components], "failures": [_plugin(i) for i in unusable]})
    else:
        _show(components, unusable)


def _list_installed(*, as_json: bool) -> None:
    from parrot_adapters.console import Table, print_json, show
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
        print_json({"installed": found})
    elif found:
        show(Table(INSTALLED, [[p[k] or "" for k in INSTALLED] for p in found], text=INSTALLED))
    else:
        print("No plugin distribution is installed (entry points parrot_adapters, parrot_adapters.routers ...).")


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
    from parrot_adapters.console import Table, show

    rows: list[list[str] | None] = []
    kind = None
    for c in components:
        if kind is not None and kind != c.kind:
            rows.append(None)
        kind = c.kind
        built_in = c.plugin.source == "built in"
        origin = "built in" if built_in else c.plugin.distribution or f"{c.plugin.name} ({c.plugin.source})"
        rows.append([c.kind, c.name, origin, (version("parrot_adapters") if built_in else c.plugin.version) or ""])
    headings = ["kind", "name", "plugin", "version"]
    show(Table(headings, rows, text=headings))
    for info in unusable:
        where = info.name if info.name in str(info) else f"{info.name} of {info}"
        print(f"{'left out' if info.barred else 'FAILED'}  {where}: {info.error}")
