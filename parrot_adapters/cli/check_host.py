"""``parrot check host:DIR``: hold an adapter on a model of yours to every promise the library makes for hosts."""

from __future__ import annotations

from pathlib import Path

__all__ = ["check_host"]


def check_host(model: str, inputs: Path | None) -> int:
    """Show a table. 0 every promise is kept; 1 one is broken."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from parrot_adapters.analysis.host_checks import host_promises, load_host_and_inputs

    host, batch, processor = load_host_and_inputs(model, inputs)
    shown = ", ".join(f"{name} {tuple(value.shape)}" for name, value in batch.items())
    print(f"{type(host).__name__} (model_type {host.config.model_type!r}), tried on {shown}", flush=True)
    found = list(host_promises(host, batch, processor))
    table = Table()
    for heading in ("promise", "result", "what it says"):
        table.add_column(heading, overflow="fold")
    for promise in found:
        result = Text("kept", style="green") if promise.error is None else Text("BROKEN", style="bold red")
        table.add_row(Text(promise.name), result, Text(promise.promise))
    Console().print(table)
    broken = [promise for promise in found if promise.error is not None]
    for promise in broken:
        print(f"\n{promise.name}: {promise.error}")
    return 1 if broken else 0
