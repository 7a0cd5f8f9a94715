"""Every conformance check of a router, in the order they are tried: what explains a failure best comes first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from parrot_adapters.testing.checks import Factory, checks_of
from parrot_adapters.testing.copies import config_round_trip, deepcopy, pickles, state_dict_round_trip
from parrot_adapters.testing.devices import device_kept
from parrot_adapters.testing.modules import (
    checkpointing,
    compiled,
    deterministic,
    gradients_reach,
    inputs_untouched,
    stateless,
)
from parrot_adapters.testing.router_answers import (
    active_experts,
    empty_items,
    empty_prompts,
    extreme_values,
    interface,
    reads_text,
    training_mode,
    weights_sum_to_one,
)
from parrot_adapters.testing.router_invariance import (
    alone_equals_batch,
    alone_equals_batch_in_training,
    item_order,
    masked_values,
    padding_length,
    placeholders,
    prompt_order,
)
from parrot_adapters.testing.router_precision import autocast, float32_inside, half_module, softmax_in_float32
from parrot_adapters.testing.router_subject import RouterSubject
from parrot_adapters.testing.traits import RouterTraits

__all__ = ["ROUTER_CHECKS", "RouterSubject", "check_router"]

ROUTER_CHECKS = checks_of(
    RouterSubject.of,
    [
        interface,
        inputs_untouched,
        deterministic,
        stateless,
        softmax_in_float32,
        active_experts,
        weights_sum_to_one,
        training_mode,
        masked_values,
        padding_length,
        placeholders,
        alone_equals_batch,
        alone_equals_batch_in_training,
        item_order,
        prompt_order,
        empty_prompts,
        empty_items,
        extreme_values,
        gradients_reach,
        reads_text,
        float32_inside,
        autocast,
        half_module,
        checkpointing,
        state_dict_round_trip,
        config_round_trip,
        deepcopy,
        pickles,
        compiled,
        device_kept,
    ],
)


def check_router(factory: Factory, traits: RouterTraits | Mapping[str, Any] | None = None) -> None:
    """Try every conformance check on a router; the first that fails raises.

    Args:
        factory: Factory ``(width, num_experts, **options)`` of a module ``RoutingInputs -> Routing``: a class, a
            function, a ``functools.partial``.
        traits: What the router declares of itself, as ``RouterTraits`` or a mapping of its fields; None (default) reads
            the factory's ``conformance`` mapping, if it has one, and finds out the rest.

    Raises:
        AssertionError: A check failed; the message begins with its name and ends with the smallest batch found.
    """
    for check in ROUTER_CHECKS:
        replace(check, traits=traits)(factory)
