"""``parrot check host:DIR``: hold an adapter on a model of yours to every promise the library makes for hosts."""

from __future__ import annotations

from pathlib import Path

__all__ = ["check_host"]


def check_host(model: str, inputs: Path | None, device: str, *, as_json: bool) -> int:
    """Try every conformance check on a host and show what came of it.

    Args:
        model: directory or Hub name of the host.
        inputs: safetensors file with arguments of its forward; None lets its processor make them.
        device: where it runs.
        as_json: print ``{"host", "seam", "checks": [{"name", "ok", "detail"}], "ok"}`` and nothing else.

    Returns:
        0 if every promise is kept, 1 if one is broken.
    """
    from rich.text import Text

    from parrot_adapters.analysis.host_checks import host_promises, load_host_and_inputs
    from parrot_adapters.console import Table, print_json, progress, show, waiting

    with waiting("loading the host"):
        host, batch, processor = load_host_and_inputs(model, inputs, device)
    if not as_json:
        shown = ", ".join(f"{name} {tuple(value.shape)}" for name, value in batch.items())
        print(f"{type(host).__name__} (model_type {host.config.model_type!r}), tried on {shown}", flush=True)
    found = []
    with progress("checking") as bar:
        for promise in host_promises(host, batch, processor):
            found.append(promise)
            bar(len(found), None, beside=promise.name)
    broken = [promise for promise in found if promise.error is not None]
    if as_json:
        checks = [{"name": p.name, "ok": p.error is None, "detail": p.error or p.promise} for p in found]
        print_json({"host": type(host).__name__, "seam": found[-1].seam, "checks": checks, "ok": not broken})
    else:
        kept, lost = Text("kept", style="green"), Text("BROKEN", style="bold red")
        rows = [(p.name, kept if p.error is None else lost, p.promise) for p in found]
        show(Table(("check", "result", "what it says"), rows, text=("result", "what it says")))
        for promise in broken:
            print(f"\n{promise.name}: {promise.error}")
    return 1 if broken else 0
