"""``parrot check KIND:NAME``: try every conformance check on a router, an expert bank or a host."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from parrot_adapters.cli.commands import argument, device_option, option, parrot_command
from parrot_adapters.errors import ConfigError, explain, suggest

if TYPE_CHECKING:
    from parrot_adapters.testing import Check, Outcome

__all__ = ["command"]

KINDS = ("router", "expert", "layer-expert", "host")


def _key_and_value(_: click.Context, __: click.Parameter, texts: tuple[str, ...]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not key or not equals:
            raise click.BadParameter(f"{text!r} is not KEY=VALUE")
        try:
            found[key] = json.loads(value)
        except json.JSONDecodeError:
            found[key] = value
    return found


@parrot_command(
    "check",
    examples=["parrot check router:text-guided", "parrot check host:example:emoji/host"],
)
@argument(
    "component",
    metavar="KIND:NAME",
    help="for example router:text-guided, expert:swiglu, layer-expert:gated or host:DIR",
)
@option(
    "--option",
    "options",
    metavar="KEY=VALUE",
    callback=_key_and_value,
    multiple=True,
    help="an option of the factory, its value as JSON (repeatable)",
)
@option("--examples", metavar="N", type=click.IntRange(1), default=20, help="batches tried in each check")
@option(
    "--inputs",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="for host:DIR: a safetensors file with arguments of its forward; without it, its processor makes them",
)
@device_option("the model of host:DIR", default="cpu")
@option("--json", "as_json", is_flag=True, help="print only a JSON document")
def command(
    component: str, options: dict[str, Any], examples: int, inputs: Path | None, device: str, as_json: bool
) -> int:
    """Try every conformance check on a router, an expert bank, experts inside layers or a host.

    Each is a property that the library relies on in such a component. host:DIR attaches a small adapter to the
    model in DIR, tries it and takes it off again; a model that can carry none fails the first check.

    Exit code: 0 every check passed, 1 one failed, 2 bad usage, or nothing there to try.
    """
    kind, _, name = component.partition(":")
    if kind not in KINDS or not name:
        raise ConfigError(
            explain(
                "what to check must look like router:NAME, expert:NAME or layer-expert:NAME (or host:DIR), not "
                f"{component!r}.{suggest(kind, KINDS)}",
                to_do="parrot plugins lists the names",
            )
        )
    if kind == "host":
        if options:
            raise ConfigError(
                explain(
                    "--option is for the factory of a router or of experts, not for a host.",
                    given=", ".join(options),
                    to_do="leave it out; for settings of an adapter attach one in Python and call "
                    "parrot_adapters.self_test",
                )
            )
        from parrot_adapters.cli.check_host import check_host

        return check_host(name, inputs, device, as_json=as_json)
    return _check_component(kind, name, options, examples, as_json=as_json)


def _check_component(kind: str, name: str, options: dict[str, Any], examples: int, *, as_json: bool) -> int:
    from parrot_adapters.plugins import manager

    found = manager.find(kind, name, asked_by="parrot check")
    from parrot_adapters.console import print_json
    from parrot_adapters.testing import examples as number_of_examples

    checks = _checks(kind, found.factory, options)
    if not as_json:
        print(f"{kind} {name!r} of {found.plugin}: {len(checks)} checks, {examples} batches each", flush=True)
    with number_of_examples(examples):
        outcomes = _run(checks, found.factory)
    broken = [outcome for outcome, _ in outcomes if outcome.error is not None]
    if as_json:
        described = [{"name": o.check.name, "ok": o.error is None, "detail": o.error or o.skipped} for o, _ in outcomes]
        print_json({kind: name, "plugin": str(found.plugin), "checks": described, "ok": not broken})
    else:
        _show(outcomes)
        for outcome in broken:
            print(f"\n{outcome.check.name}: {outcome.error}")
    return 1 if broken else 0


def _checks(kind: str, factory: Any, options: dict[str, Any]) -> list[Check]:
    """The kind's checks, bound to what the factory declares of itself and to the options asked for."""
    from parrot_adapters.testing import (
        EXPERT_CHECKS,
        LAYER_EXPERT_CHECKS,
        ROUTER_CHECKS,
        ExpertTraits,
        RouterTraits,
    )

    checks = {"router": ROUTER_CHECKS, "expert": EXPERT_CHECKS, "layer-expert": LAYER_EXPERT_CHECKS}[kind]
    traits = RouterTraits if kind == "router" else ExpertTraits
    declared = dict(getattr(factory, "conformance", {}))
    known = [f.name for f in fields(traits)]
    if unknown := [f"{key!r}.{suggest(key, known)}" for key in declared if key not in known]:
        raise ConfigError(explain(f"{kind} declares unknown traits: {', '.join(unknown)}", known=", ".join(known)))
    declared["options"] = {**declared.get("options", {}), **options}
    return [replace(check, traits=traits(**declared)) for check in checks]


def _run(checks: Sequence[Check], factory: Any) -> list[tuple[Outcome, float]]:
    from parrot_adapters.console import progress

    found = []
    with progress("checking") as shown:
        for number, check in enumerate(checks, 1):
            begun = time.perf_counter()
            found.append((check.outcome(factory), time.perf_counter() - begun))
            shown(number, len(checks))
    return found


def _show(outcomes: list[tuple[Outcome, float]]) -> None:
    from rich.text import Text

    from parrot_adapters.console import Table, show

    rows = []
    for outcome, seconds in outcomes:
        if outcome.error is not None:
            result = Text("FAILED", style="bold red")
        elif outcome.skipped is not None:
            result = Text("not asked", style="dim")
        else:
            result = Text("passed", style="green")
        says = outcome.check.states if outcome.skipped is None else outcome.skipped
        rows.append((outcome.check.name, result, says.replace("``", ""), f"{seconds:.1f}"))
    show(Table(("check", "result", "what it says", "s"), rows, text=("result", "what it says")))
