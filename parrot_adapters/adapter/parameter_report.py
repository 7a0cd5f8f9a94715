"""Parameters of a host with an adapter, counted by part."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from torch import nn

__all__ = ["parameter_report", "print_report"]


def parameter_report(model: nn.Module, parts: Mapping[str, Iterable[nn.Parameter]]) -> dict[str, dict[str, int]]:
    """``{part: {"parameters": n, "trainable": m}}`` for the parts, and ``rest``.

    Args:
        model: all that is counted.
        parts: what belongs to which; a parameter of two parts counts for the first.
    """
    owner: dict[int, str] = {}
    for part, parameters in parts.items():
        for parameter in parameters:
            owner.setdefault(id(parameter), part)
    report: dict[str, dict[str, int]] = {}
    for parameter in model.parameters():
        counts = report.setdefault(owner.get(id(parameter), "rest"), {"parameters": 0, "trainable": 0})
        counts["parameters"] += parameter.numel()
        counts["trainable"] += parameter.numel() if parameter.requires_grad else 0
    return report


def print_report(report: Mapping[str, Mapping[str, int]], title: str) -> None:
    """Print it as a table."""
    from parrot_adapters.console import Table, show

    rows = [(part, f"{counts['parameters']:,}", f"{counts['trainable']:,}") for part, counts in report.items()]
    show(Table(("part", "parameters", "trainable"), rows, title=title))
