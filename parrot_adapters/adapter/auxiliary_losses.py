"""Auxiliary losses of a training step, from what its forward pass recorded."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from parrot_adapters.errors import ConfigError
from parrot_adapters.plugins import blaming, manager

if TYPE_CHECKING:
    from torch import Tensor

    from parrot_adapters.core.routing_record import RoutingRecord

__all__ = ["auxiliary_losses"]


def auxiliary_losses(
    log: Sequence[RoutingRecord], scales: Mapping[str, float], options: Mapping[str, Mapping[str, Any]] | None = None
) -> dict[str, Tensor]:
    """Compute scaled auxiliary losses, averaged over routing records, to be added to the training loss.

    Args:
        log: Records of one forward pass, from ``handle.record_routing(graph=True)`` around it. An empty list (a batch
            without images) gives no losses.
        scales: Factor of each registered loss by name, for example ``{"load-balancing": 0.01, "router-z": 0.001}``.
        options: Keyword arguments of a loss's factory by loss name, for example
            ``{"language-supervision": {"experts": {"en": 0, "tr": 1}}}``; None (default) for none.

    Returns:
        float32 scalars by name. A router's own losses are among them as ``router/NAME``, as the router made them.

    Raises:
        UnknownNameError: No loss of that name is registered.
        ConfigError: The records carry no gradient.
    """
    options = options or {}
    measures = {name: _measure(name, options.get(name, {})) for name in scales}
    if log and measures and not any(record.logits.requires_grad for record in log):
        raise ConfigError("these records carry no gradient; record with handle.record_routing(graph=True)")
    terms: dict[str, list[Tensor]] = {}
    for record in log:
        for name, measure in measures.items():
            terms.setdefault(name, []).append(scales[name] * measure(record))
        for name, value in (record.losses or {}).items():
            terms.setdefault(f"router/{name}", []).append(value)
    return {name: sum(values[1:], values[0]) / len(values) for name, values in terms.items()}


def _measure(name: str, options: Mapping[str, Any]) -> Callable[[RoutingRecord], Tensor]:
    found = manager.find("loss", name, asked_by="scales")
    with blaming(f"{found} could not be made.", given=dict(options)):
        measure: Callable[[RoutingRecord], Tensor] = found.factory(**options)
    return measure
