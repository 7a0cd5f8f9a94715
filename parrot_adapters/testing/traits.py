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
    """What a router declares of itself. None, where it is the default, means that the checks find it out.

    Args:
        options: Keyword arguments of the factory (default none).
        width: Hidden size D to test at.
        num_experts: Number of experts E to test at.
        sparse: True where some weights are zero by design; False where every weight is positive on ordinary inputs.
        top_k: Number of weights of each row that are not zero.
        k_option: Name of the factory's option that sets ``top_k``; ``"top_k"`` and ``"k"`` are found without declaring.
        sums_to_one: False for a router that may also answer with a row of zeros (abstain).
        per_token: Whether there is one routing for each visual token rather than for each item.
        stochastic: Whether two training passes differ. In evaluation no router's may.
        needs_languages: Whether the router cannot work without declared languages.
        needs_token_ids: Whether the router cannot work without token ids.
        uses_text: True where another prompt changes the routing; False where it must not (a control).
        independent_items: False where items compete across the batch (balanced assignment).
        independent_in_training: The same for training; None (default) as ``independent_items``.
        casts: Whether the module itself may be cast to half precision and still computes in float32.
        untrained: Names of parameters that no gradient need reach.
        supports_compile: Whether ``torch.compile`` gives the same answer.
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
    """What an expert bank declares of itself. None, where it is the default, means that the checks find it out.

    Args:
        options: Keyword arguments of the factory (default none).
        width: Hidden size D to test at.
        hidden_size: Hidden width F of one expert to test at.
        num_experts: Number of experts E to test at.
        identity_at_start: Whether a new bank gives exactly zero, so that attaching changes nothing.
        linear_in_weights: Whether the answer is the weighted sum of what each expert alone would answer. False for
            banks that merge parameters rather than outputs.
        sparse: Whether experts that are not in ``Routing.active`` are left out.
        per_token: Whether one routing for each visual token is accepted.
        pointwise: Whether a token's answer does not depend on the other tokens of its item.
        needs_context: Whether the bank cannot work without ``Routing.context``.
        casts: Whether the module itself may be cast to half precision.
        untrained: Names of parameters that no gradient need reach.
        supports_compile: Whether ``torch.compile`` gives the same answer.
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
