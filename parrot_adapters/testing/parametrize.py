"""One pytest test per conformance check, with one line in a plugin's test file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from parrot_adapters.testing.checks import Check
from parrot_adapters.testing.checks_of_experts import EXPERT_CHECKS
from parrot_adapters.testing.checks_of_layer_experts import LAYER_EXPERT_CHECKS
from parrot_adapters.testing.checks_of_routers import ROUTER_CHECKS
from parrot_adapters.testing.traits import ExpertTraits, RouterTraits

__all__ = ["expert_checks", "layer_expert_checks", "router_checks"]

Test = TypeVar("Test", bound=Callable[..., Any])


def router_checks(traits: RouterTraits | None = None) -> Callable[[Test], Test]:
    """Run a test function once for each conformance check of a router, handing it ``check``.

        @router_checks(RouterTraits(uses_text=True))
        def test_conformance(check):
            check(SinkhornRouter)

    Args:
        traits: What the router declares of itself; None (default) finds out what can be found out.
    """
    return _parametrized(ROUTER_CHECKS, traits)


def expert_checks(traits: ExpertTraits | None = None) -> Callable[[Test], Test]:
    """Run a test function once for each conformance check of an expert bank, handing it ``check``.

    Args:
        traits: What the bank declares of itself; None (default) finds out what can be found out.
    """
    return _parametrized(EXPERT_CHECKS, traits)


def layer_expert_checks(traits: ExpertTraits | None = None) -> Callable[[Test], Test]:
    """Run a test function once for each conformance check of experts inside linear layers, handing it ``check``.

    Args:
        traits: What the kind declares of itself; None (default) finds out what can be found out.
    """
    return _parametrized(LAYER_EXPERT_CHECKS, traits)


def _parametrized(checks: Sequence[Check], traits: object) -> Callable[[Test], Test]:
    import pytest  # only a test asks for this

    bound = [replace(check, traits=traits) for check in checks]
    mark: Callable[[Test], Test] = pytest.mark.parametrize("check", bound, ids=[check.name for check in bound])
    return mark
