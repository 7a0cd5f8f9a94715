"""Parameters of a host with an adapter, counted by part."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from torch import nn

if TYPE_CHECKING:
    from parrot_adapters.core import AlignmentLayer

__all__ = ["parameter_places", "parameter_report", "print_report"]


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


def parameter_places(layer: AlignmentLayer) -> dict[str, int]:
    """How many parameters of an adapter's module are in its router, at the projector and inside the layers."""
    places = {"projector_experts": layer.experts, "layers": layer.layer_experts}
    found = {name: sum(p.numel() for p in part.parameters()) for name, part in places.items() if part is not None}
    return {"router": sum(p.numel() for p in layer.parameters()) - sum(found.values()), **found}


def print_report(report: Mapping[str, Mapping[str, int]], title: str) -> None:
    """Print it as a table."""
    from parrot_adapters.console import Table, show

    rows = []
    for part, counts in report.items():
        rows.append((part, f"{counts['parameters']:,}", f"{counts['trainable']:,}"))
        places = [name for name in counts if name not in ("parameters", "trainable")]
        rows += [(f"  {place.replace('_', ' ')}", f"{counts[place]:,}", "") for place in places]
    show(Table(("part", "parameters", "trainable"), rows, title=title))
