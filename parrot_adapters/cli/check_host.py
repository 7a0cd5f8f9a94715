"""``parrot check host:DIR``: try every conformance check on an adapter attached to a model of yours."""

from __future__ import annotations

from pathlib import Path

__all__ = ["check_host"]


def check_host(model: str, inputs: Path | None, device: str, *, as_json: bool) -> int:
    """Try every conformance check on a host and show what came of it.

    Args:
        model: Directory or Hub name of the host.
        inputs: Safetensors file with arguments of its forward; None lets its processor make them.
        device: Torch device it runs on.
        as_json: Whether to print ``{"host", "seam", "checks": [{"name", "ok", "detail"}], "ok"}`` and nothing else.

    Returns:
        0 if every check passed, 1 if one failed.
    """
    from rich.text import Text

    from parrot_adapters.analysis.host_checks import load_host_and_inputs, refused_host, run_host_checks
    from parrot_adapters.console import Table, print_json, progress, show, waiting

    with waiting("loading the host"):
        host, batch, processor = load_host_and_inputs(model, inputs, device)
    refused = refused_host(host)
    if not as_json and refused is None:
        shown = ", ".join(f"{name} {tuple(value.shape)}" for name, value in batch.items())
        print(f"{type(host).__name__} (model_type {host.config.model_type!r}), tried on {shown}", flush=True)
    found = []
    with progress("checking") as bar:
        for outcome in run_host_checks(host, batch, processor) if refused is None else (refused,):
            found.append(outcome)
            bar(len(found), None, beside=outcome.name)
    broken = [outcome for outcome in found if outcome.error is not None]
    if as_json:
        checks = [{"name": o.name, "ok": o.error is None, "detail": o.error or o.states} for o in found]
        print_json({"host": type(host).__name__, "seam": found[-1].seam, "checks": checks, "ok": not broken})
    else:
        passed, failed = Text("passed", style="green"), Text("FAILED", style="bold red")
        rows = [(o.name, passed if o.error is None else failed, o.states) for o in found]
        show(Table(("check", "result", "what it says"), rows, text=("result", "what it says")))
        for outcome in broken:
            print(f"\n{outcome.name}: {outcome.error}")
    return 1 if broken else 0
