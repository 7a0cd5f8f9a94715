"""Auxiliary losses by name: each factory here makes a function of a routing record."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor

from parrot_adapters.core.losses import language_supervision_loss, load_balancing_loss, router_z_loss
from parrot_adapters.core.routing_record import RoutingRecord

__all__ = ["LanguageSupervision", "load_balancing", "router_z"]


def load_balancing() -> Callable[[RoutingRecord], Tensor]:
    """Loss ``"load-balancing"``: :func:`load_balancing_loss` of the weights."""
    return lambda record: load_balancing_loss(record.weights, record.active)


def router_z() -> Callable[[RoutingRecord], Tensor]:
    """Loss ``"router-z"``: :func:`router_z_loss` of the logits."""
    return lambda record: router_z_loss(record.logits)


class LanguageSupervision:
    """Loss ``"language-supervision"``: send each language to the expert it was given.

    Args:
        experts: expert number of each BCP-47 tag; items whose language is not in it are left alone.
    """

    def __init__(self, experts: Mapping[str, int]) -> None:
        self.experts = dict(experts)

    def __call__(self, record: RoutingRecord) -> Tensor:
        languages = record.item_languages()
        targets = [self.experts.get(language, -1) if language else -1 for language in languages]
        logits = record.logits
        return language_supervision_loss(logits, logits.new_tensor(targets).long())
