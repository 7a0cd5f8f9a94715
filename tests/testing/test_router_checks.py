"""The router kit bites: for every check a broken router that this check catches; healthy routers pass all."""

from __future__ import annotations

import functools
from dataclasses import replace

import pytest
import torch

from parrot_adapters import core
from parrot_adapters.testing import ROUTER_CHECKS, RouterTraits, check_router, examples, router_checks

from .broken_routers import ALSO, BROKEN, Good, MeanOverPadding, NotARouting, TopKIgnored

NAMES = [check.name for check in ROUTER_CHECKS]


@pytest.mark.parametrize(("name", "router", "traits"), BROKEN, ids=[f"{n}-{r.__name__}" for n, r, _ in BROKEN])
def test_a_broken_router_is_caught_by_its_check(name, router, traits):
    check = next(check for check in ROUTER_CHECKS if check.name == name)
    with examples(40):
        assert replace(check, traits=traits).outcome(router).error is not None


@pytest.mark.slow
@pytest.mark.parametrize(("name", "router", "traits"), BROKEN, ids=[f"{n}-{r.__name__}" for n, r, _ in BROKEN])
def test_no_other_check_complains_of_a_broken_router(name, router, traits):
    if router is NotARouting:
        return  # nothing can be asked of it
    with examples(4):
        failed = {
            check.name for check in ROUTER_CHECKS if replace(check, traits=traits).outcome(router).error is not None
        }
    assert failed - ALSO.get(router.__name__, set()) <= {name}


def test_every_check_has_a_broken_router():
    assert {name for name, *_ in BROKEN} == set(NAMES)


@router_checks(RouterTraits(sparse=False, uses_text=True))
def test_a_healthy_router_keeps_every_promise(check):
    check(Good)


@pytest.mark.parametrize("normalize", ["rms", "none"])
@pytest.mark.parametrize("router", [core.TextGuidedRouter, core.TextGuidedQKVRouter])
def test_built_in_routers_keep_every_promise(router, normalize):
    traits = RouterTraits(options={"normalize": normalize}, sparse=False, stochastic=False, uses_text=True, casts=True)
    check_router(router, traits)


def test_built_in_router_agrees_when_compiled():
    (compiled,) = (c for c in ROUTER_CHECKS if c.name == "compiled")
    with examples(1):
        replace(compiled, traits=RouterTraits(supports_compile=True))(core.TextGuidedRouter)


class TopK(Good):
    """A healthy sparse router with its k."""

    def __init__(self, width, num_experts, *, top_k=2):
        super().__init__(width, num_experts)
        self.top_k = top_k

    def forward(self, inputs):
        return core.keep_top_k(super().forward(inputs), self.top_k)


def _swallows(width, num_experts, **options):
    return Good(width, num_experts)


def _hands_on(width, num_experts, **options):
    return TopK(width, num_experts, **options)


class PerToken(Good):
    """A healthy router per token."""

    def forward(self, inputs):
        count = inputs.tokens.shape[0]
        logits = core.spread(self.logits(inputs), inputs.offsets, count) + inputs.tokens[:, :1].float()
        return core.Routing(logits.softmax(-1), logits, per_token=True)


class ByLanguage(Good):
    """A healthy router that needs declared languages; unknown ones share what is left."""

    def logits(self, inputs):
        known = [0 if tag.startswith("en") else 1 for tag in inputs.languages]
        return self.gate.float().sum(-1) * torch.tensor(known).float()[inputs.rows][:, None]


class HandsOnHalf(Good):
    """Softmax in float32, weights in the host's dtype."""

    def forward(self, inputs):
        logits = self.logits(inputs)
        return core.Routing(logits.softmax(-1).to(inputs.text.dtype), logits)


class Noisy(Good):
    def logits(self, inputs):
        logits = super().logits(inputs)
        return logits + torch.randn_like(logits) if self.training else logits


HEALTHY = [
    TopK,
    functools.partial(TopK, top_k=3),
    _hands_on,
    _swallows,
    PerToken,
    ByLanguage,
    Noisy,
    HandsOnHalf,
    lambda width, num_experts, **options: core.TextGuidedRouter(width, num_experts, **options),
]


@pytest.mark.parametrize("factory", HEALTHY)
def test_traits_are_found_out_when_nothing_is_declared(factory):
    with examples(5):
        check_router(factory)


def test_message_names_the_promise_and_shows_the_smallest_batch():
    with pytest.raises(AssertionError) as caught:
        check_router(MeanOverPadding)
    message = str(caught.value)
    assert message.startswith("padding_length: promised: More padding, on the left or on the right, changes nothing.")
    assert "weights differ by" in message
    assert "smallest batch found: items of [1] tokens, rows [0], text_mask 1," in message


def test_k_ignored_is_found_through_a_factory_that_takes_any_options():
    with pytest.raises(AssertionError, match=r"^active_experts: .*\n +k=\d, but row 0 has 4 non-zero weights"):
        check_router(lambda width, num_experts, **options: TopKIgnored(width, num_experts, **options))


def test_a_declaration_may_stand_on_the_factory():
    class Declares(Good):
        conformance = {"uses_text": False}  # noqa: RUF012

    with pytest.raises(AssertionError, match=r"^text_steers"):
        check_router(Declares)


def test_checks_leave_the_random_state_alone():
    torch.manual_seed(123)
    before = torch.get_rng_state()
    with examples(3):
        check_router(Good)
    assert torch.equal(before, torch.get_rng_state())


def test_a_factory_that_raises_is_reported_under_the_first_check():
    def factory(width, num_experts):
        raise ValueError("no such thing")

    with pytest.raises(AssertionError, match=r"^interface: .*\n.*it raised ValueError: no such thing"):
        check_router(factory)
