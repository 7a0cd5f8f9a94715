"""``parrot check router:NAME``: hold a router, an expert bank or a host to every promise the library makes for it."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parrot_adapters.errors import ConfigError, explain, suggest

if TYPE_CHECKING:
    from parrot_adapters.testing import Check, Outcome

__all__ = ["command"]

KINDS = ("router", "expert", "host")


def command(argv: list[str]) -> int:
    """Run the conformance kit on one component and show a table. 0 every promise is kept; 1 one is broken; 2 usage."""
    asked = _parser().parse_args(argv)
    kind, _, name = asked.component.partition(":")
    if kind not in KINDS or not name:
        raise ConfigError(
            explain(
                f"what to check must look like router:NAME or expert:NAME (or host:DIR), not {asked.component!r}."
                f"{suggest(kind, KINDS)}",
                to_do="parrot plugins lists the names",
            )
        )
    if kind == "host":
        from parrot_adapters.cli.check_host import check_host

        return check_host(name, asked.inputs)
    from parrot_adapters.plugins import manager

    component = manager.find(kind, name, asked_by="parrot check")
    from parrot_adapters.testing import examples

    checks = _checks(kind, component.factory, dict(asked.option))
    print(f"{kind} {name!r} of {component.plugin}: {len(checks)} promises, {asked.examples} batches each", flush=True)
    with examples(asked.examples):
        outcomes = _run(checks, component.factory)
    _show(outcomes)
    broken = [outcome for outcome, _ in outcomes if outcome.error is not None]
    for outcome in broken:
        print(f"\n{outcome.check.name}: {outcome.error}")
    return 1 if broken else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="parrot check", description=__doc__)
    parser.add_argument(
        "component", metavar="KIND:NAME", help="for example router:text-guided, expert:swiglu or host:DIR"
    )
    parser.add_argument(
        "--option",
        metavar="KEY=VALUE",
        type=_option,
        action="append",
        default=[],
        help="an option of the factory, its value as JSON; may be repeated",
    )
    parser.add_argument(
        "--examples", metavar="N", type=_count, default=20, help="batches tried per promise (%(default)s)"
    )
    parser.add_argument(
        "--inputs",
        metavar="FILE",
        type=Path,
        help="for host:DIR: a safetensors file with arguments of its forward; without it, its processor makes them",
    )
    return parser


def _option(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not KEY=VALUE")
    try:
        return key, json.loads(value)
    except json.JSONDecodeError:
        return key, value


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def _checks(kind: str, factory: Any, options: dict[str, Any]) -> list[Check]:
    """The kind's checks, bound to what the factory declares of itself and to the options asked for."""
    from parrot_adapters.testing import EXPERT_CHECKS, ROUTER_CHECKS, ExpertTraits, RouterTraits

    checks, traits = (ROUTER_CHECKS, RouterTraits) if kind == "router" else (EXPERT_CHECKS, ExpertTraits)
    declared = dict(getattr(factory, "conformance", {}))
    known = [f.name for f in fields(traits)]
    if unknown := [f"{key!r}.{suggest(key, known)}" for key in declared if key not in known]:
        raise ConfigError(explain(f"{kind} declares unknown traits: {', '.join(unknown)}", known=", ".join(known)))
    declared["options"] = {**declared.get("options", {}), **options}
    return [replace(check, traits=traits(**declared)) for check in checks]


def _run(checks: Sequence[Check], factory: Any) -> list[tuple[Outcome, float]]:
    from rich.console import Console
    from rich.progress import track

    found = []
    for check in track(checks, "checking", console=Console(stderr=True), transient=True):
        begun = time.perf_counter()
        found.append((check.outcome(factory), time.perf_counter() - begun))
    return found


def _show(outcomes: list[tuple[Outcome, float]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table()
    table.add_column("promise", no_wrap=True)
    for heading in ("result", "what it says"):
        table.add_column(heading, overflow="fold")
    table.add_column("s", justify="right")
    for outcome, seconds in outcomes:
        if outcome.error is not None:
            result = Text("BROKEN", style="bold red")
        elif outcome.skipped is not None:
            result = Text("not asked", style="dim")
        else:
            result = Text("kept", style="green")
        says = outcome.check.promise if outcome.skipped is None else outcome.skipped
        table.add_row(Text(outcome.check.name), result, Text(says.replace("``", "")), f"{seconds:.1f}")
    Console().print(table)
