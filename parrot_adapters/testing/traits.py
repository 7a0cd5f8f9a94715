"""What a plugin declares about itself, so that the kit knows which checks to hold it to.

``None`` means: find out by trying, or do not hold it to either. A factory may carry its declaration as a plain
mapping in an attribute, ``conformance = {"uses_text": True}``; then ``parrot check`` and ``check_router`` need no more.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["ExpertTraits", "RouterTraits", "declared_by"]


@dataclass(frozen=True)
class RouterTraits:
    """Declared traits of a router.

    Args:
        options: keyword arguments for the factory.
        width: D to test at.
        num_experts: E to test at.
        sparse: True: some weights are zero by design; False: every weight is positive on ordinary inputs.
        top_k: exactly so many weights of each row are non-zero.
        k_option: the factory's option that sets ``top_k``; ``"top_k"`` and ``"k"`` are found without declaring.
        sums_to_one: False for a router that may also answer with an all-zero row (abstain).
        per_token: one routing per visual token rather than per item.
        stochastic: two training passes differ. In evaluation no router may be.
        needs_languages: cannot work without declared languages.
        needs_token_ids: cannot work without token ids.
        uses_text: True: another prompt changes the routing; False: it must not (a control).
        independent_items: False when items compete across the batch (balanced assignment).
        independent_in_training: the same for training; None as ``independent_items``.
        casts: the module itself may be cast to half precision and still computes in float32.
        untrained: names of parameters that no gradient need reach.
        supports_compile: ``torch.compile`` gives the same answer.
    """

    options: Mapping[str, Any] = field(default_factory=dict)
    width: int = 16
    num_experts: int = 4
    sparse: bool | None = None
    top_k: int | None = None
    k_option: str | None = None
    sums_to_one: bool = True
    per_token: bool | None = None
    stochastic: bool | None = None
    needs_languages: bool | None = None
    needs_token_ids: bool | None = None
    uses_text: bool | None = None
    independent_items: bool = True
    independent_in_training: bool | None = None
    casts: bool | None = None
    untrained: tuple[str, ...] = ()
    supports_compile: bool = False


@dataclass(frozen=True)
class ExpertTraits:
    """Declared traits of an expert bank.

    Args:
        options: keyword arguments for the factory.
        width: D to test at.
        hidden_size: F to test at.
        num_experts: E to test at.
        identity_at_start: a new bank gives exactly zero, so that attaching changes nothing.
        linear_in_weights: the answer is the weighted sum of what each expert alone would answer. False for banks that
            merge parameters rather than outputs.
        sparse: honours ``Routing.active``: experts that are not active are left out.
        per_token: accepts one routing per visual token.
        pointwise: a token's answer does not depend on the other tokens of its item.
        needs_context: cannot work without ``Routing.context``.
        casts: the module itself may be cast to half precision.
        untrained: names of parameters that no gradient need reach.
        supports_compile: ``torch.compile`` gives the same answer.
    """

    options: Mapping[str, Any] = field(default_factory=dict)
    width: int = 16
    hidden_size: int = 8
    num_experts: int = 4
    identity_at_start: bool = True
    linear_in_weights: bool = True
    sparse: bool = True
    per_token: bool = True
    pointwise: bool = True
    needs_context: bool | None = None
    casts: bool | None = None
    untrained: tuple[str, ...] = ()
    supports_compile: bool = False


def declared_by(factory: Any) -> Mapping[str, Any]:
    """What a factory declares in its attribute ``conformance``; ``functools.partial`` is looked through."""
    while isinstance(factory, functools.partial) and not hasattr(factory, "conformance"):
        factory = factory.func
    return getattr(factory, "conformance", {})
