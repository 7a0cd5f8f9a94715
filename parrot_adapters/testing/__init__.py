"""The conformance kit: prove that a router or an expert bank has every property that the library relies on.

    from parrot_adapters.testing import RouterTraits, check_router, router_checks

    check_router(SinkhornRouter)                          # raises AssertionError, naming the first check that fails

    @router_checks(RouterTraits(uses_text=True))          # or one pytest test per check
    def test_conformance(check):
        check(SinkhornRouter)

Batches are drawn by Hypothesis, values included, so a failure shrinks to a smallest batch and replays; nothing here
touches torch's global random state. Reading order: ``traits``, ``strategies``, ``checks``, ``modules`` and ``copies``
(checks of any module), ``checks_of_routers`` (the list, and where each stands), ``checks_of_experts``,
``batches``.
"""

from parrot_adapters.errors import MissingDependencyError

try:
    import hypothesis  # noqa: F401
except ImportError as error:
    raise MissingDependencyError(
        "parrot_adapters.testing needs hypothesis.\n  to do  pip install 'parrot_adapters[test]'"
    ) from error

from parrot_adapters.testing.checks import Check, Outcome, Skipped, examples, run_checks
from parrot_adapters.testing.checks_of_experts import EXPERT_CHECKS, check_expert
from parrot_adapters.testing.checks_of_routers import ROUTER_CHECKS, check_router
from parrot_adapters.testing.parametrize import expert_checks, router_checks
from parrot_adapters.testing.strategies import (
    ExpertCall,
    expert_calls,
    language_tags,
    prompts,
    routing_inputs,
    routings,
    tensors,
    visual_batches,
)
from parrot_adapters.testing.traits import ExpertTraits, RouterTraits

__all__ = [
    "EXPERT_CHECKS",
    "ROUTER_CHECKS",
    "Check",
    "ExpertCall",
    "ExpertTraits",
    "Outcome",
    "RouterTraits",
    "Skipped",
    "check_expert",
    "check_router",
    "examples",
    "expert_calls",
    "expert_checks",
    "language_tags",
    "prompts",
    "router_checks",
    "routing_inputs",
    "routings",
    "run_checks",
    "tensors",
    "visual_batches",
]
