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

``small_host`` makes whole hosts of a few thousand random weights, offline; they need no Hypothesis.
"""

from typing import Any

import lazy_loader

from parrot_adapters.errors import MissingDependencyError

_get, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> Any:
    try:
        return _get(name)
    except ModuleNotFoundError as error:
        if error.name != "hypothesis":
            raise
        raise MissingDependencyError(
            "the checks of parrot_adapters.testing need hypothesis.\n  to do  pip install 'parrot_adapters[test]'"
        ) from error
