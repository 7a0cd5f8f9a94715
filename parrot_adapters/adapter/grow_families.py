"""Growing where logits cannot be split: sparse routers, ``top_k``, and routers that know nothing of growing.

The router stays as it is, bit for bit, and chooses among families (:class:`~parrot_adapters.core.GrownRouter`). In a
config this is the router ``"grown"``, whose options hold the old router's name and options.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from parrot_adapters.core.grown_router import GrownRouter
from parrot_adapters.plugins import manager

if TYPE_CHECKING:
    from parrot_adapters.adapter.config import AdapterConfig

__all__ = ["GROWN", "grown_router", "with_families"]

GROWN = "grown"


def grown_router(
    width: int,
    num_experts: int,
    *,
    router: str = "text-guided",
    options: Mapping[str, Any] | None = None,
    families: Sequence[int] = (),
    prior: Sequence[float] | None = None,
    top_k: int | None = None,
) -> nn.Module:
    """The registered factory of ``"grown"``.

    Args:
        width: D.
        num_experts: E, of the grown bank.
        router: registered router over the families.
        options: of its factory.
        families: the family of the first experts; each further one is a family by itself.
        prior: constant shares within families.
        top_k: families kept.

    Raises:
        UnknownNameError: no router of that name.
        ConfigError: as :class:`GrownRouter`.
    """
    first = max(families, default=-1) + 1
    everyone = [*families, *range(first, first + num_experts - len(families))]
    inner = manager.find("router", router, asked_by="router_options.router of a grown adapter")
    made = inner.factory(width, len(set(everyone)), **copy.deepcopy(dict(options or {})))
    return GrownRouter(width, made, everyone, prior=prior, top_k=top_k)


def with_families(
    config: AdapterConfig, state: Mapping[str, Tensor], owner: Sequence[int], shares: Sequence[float], width: int
) -> tuple[AdapterConfig, dict[str, Tensor]]:
    """The config of the grown adapter, and its router's part of the state dict.

    Args:
        config: of the adapter that grows.
        state: of its layer.
        owner: (E',) the old expert behind each expert.
        shares: (E',) the part of its owner's weight that each gets.
        width: D.
    """
    mine = {name: value for name, value in state.items() if name.startswith("router.")}
    if config.router == GROWN:
        options = dict(config.router_options)
        old = [*options["families"]]
        prior = options.get("prior") or [1.0] * len(old)
        options["families"] = [old[o] for o in owner]
        options["prior"] = [prior[o] * share for o, share in zip(owner, shares, strict=True)]
        mine["router.members"] = mine["router.members"][list(owner)]
    else:
        options = {
            "router": config.router,
            "options": dict(config.router_options),
            "families": list(owner),
            "top_k": config.top_k,
        }
        mine = {name.replace("router.", "router.inner.", 1): value.clone() for name, value in mine.items()}
        like = next(value for value in state.values() if value.is_floating_point())
        mine["router.members"] = like.new_zeros(len(owner), width)
    return replace(config, num_experts=len(owner), top_k=None, router=GROWN, router_options=options), mine
