"""The router kit bites: for every check a broken router that this check catches; healthy routers pass all."""

from __future__ import annotations

import functools
from dataclasses import replace
from itertools import product

import pytest
import torch
from support.tiers import late_unless
from torch import nn

from parrot_adapters import core
from parrot_adapters.testing import ROUTER_CHECKS, RouterTraits, check_router, devices, examples, router_checks

from .broken_routers import ALSO, BROKEN, Good
from .broken_routers.answers import NotARouting, TopKIgnored, TopOneKeepsItsShare
from .broken_routers.invariance import FirstComeFirstServed, MeanOverPadding
from .broken_routers.precision import HalfSoftmaxAsItIs

pytestmark = pytest.mark.conformance

NAMES = [check.name for check in ROUTER_CHECKS]
FIRST = [next(broken for broken in BROKEN if broken[0] == name) for name in dict.fromkeys(name for name, *_ in BROKEN)]


@pytest.fixture
def device_elsewhere(monkeypatch):
    """Where there is no accelerator ``meta`` stands for one: it has no numbers, but refuses the CPU's as a GPU does."""
    if devices.accelerator() is None:
        monkeypatch.setattr(devices, "accelerator", lambda: torch.device("meta"))


@pytest.mark.parametrize(
    ("name", "router", "traits"), late_unless(FIRST, BROKEN), ids=[f"{n}-{r.__name__}" for n, r, _ in BROKEN]
)
@pytest.mark.usefixtures("device_elsewhere")
@pytest.mark.few(8)
def test_a_broken_router_is_caught_by_its_check(name, router, traits):
    check = next(check for check in ROUTER_CHECKS if check.name == name)
    with examples(40):
        assert replace(check, traits=traits).outcome(router).error is not None


@pytest.mark.slow
@pytest.mark.parametrize(("name", "router", "traits"), BROKEN, ids=[f"{n}-{r.__name__}" for n, r, _ in BROKEN])
@pytest.mark.usefixtures("device_elsewhere")
def test_no_other_check_complains_of_a_broken_router(name, router, traits):
    if router is NotARouting:
        return  # nothing can be asked of it
    with examples(4):
        failed = {
            check.name for check in ROUTER_CHECKS if replace(check, traits=traits).outcome(router).error is not None
        }
    if "alone_equals_batch" in failed:  # then in training, too
        failed.discard("alone_equals_batch_in_training")
    assert failed - ALSO.get(router.__name__, set()) <= {name}


def test_every_check_has_a_broken_router():
    assert {name for name, *_ in BROKEN} == set(NAMES)


@router_checks(RouterTraits(sparse=False, uses_text=True))
@pytest.mark.usefixtures("device_elsewhere")
@pytest.mark.few(8)
def test_a_healthy_router_passes_every_check(check):
    check(Good)


@pytest.mark.parametrize(
    ("router", "normalize"),
    late_unless(
        [(core.TextGuidedRouter, "rms"), (core.TextGuidedQKVRouter, "none")],
        product([core.TextGuidedRouter, core.TextGuidedQKVRouter], ["rms", "none"]),
    ),
)
@pytest.mark.few(1)
def test_built_in_routers_pass_every_check(router, normalize):
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
        factor = torch.tensor(known, device=inputs.rows.device).float()[inputs.rows]
        return self.gate.float().sum(-1) * factor[:, None]


class HandsOnHalf(Good):
    """Softmax in float32, weights in the host's dtype."""

    def forward(self, inputs):
        logits = self.logits(inputs)
        return core.Routing(logits.softmax(-1).to(inputs.text.dtype), logits)


class Noisy(Good):
    def logits(self, inputs):
        logits = super().logits(inputs)
        return logits + torch.randn_like(logits) if self.training else logits


class ByHash(nn.Module):
    """No parameters, one expert by the ids of the words, no logits to speak of."""

    def __init__(self, width, num_experts):
        super().__init__()
        self.num_experts = num_experts

    def forward(self, inputs):
        words = (inputs.token_ids * 2654435761 % 1000003).masked_fill(~inputs.text_mask, 0)
        chosen = words.sum(1)[inputs.rows] % self.num_experts
        weights = nn.functional.one_hot(chosen, self.num_experts).float()
        return core.Routing(weights, 10 * weights, active=chosen[:, None])


class LearnedConstant(nn.Module):
    """Its answer is a view of its parameter."""

    def __init__(self, width, num_experts):
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(num_experts))

    def forward(self, inputs):
        logits = self.logits.float().expand(inputs.rows.numel(), -1)
        return core.Routing(logits.softmax(-1), logits)


class PlainLinear(Good):
    """As a newcomer writes it: a Linear, and no thought of autocast."""

    def __init__(self, width, num_experts):
        super().__init__(width, num_experts)
        self.linear, self.gate = nn.Linear(width, num_experts), None

    def logits(self, inputs):
        return self.linear(self.context(inputs)).float()


class WordByWord(nn.Module):
    """A recurrent network over the words alone, prompt by prompt."""

    def __init__(self, width, num_experts):
        super().__init__()
        self.reader = nn.GRU(width, 8, batch_first=True)
        self.gate = nn.Linear(8, num_experts)

    def forward(self, inputs):
        with torch.autocast(inputs.text.device.type, enabled=False):
            read = [self._read(row[mask].float()) for row, mask in zip(inputs.text, inputs.text_mask, strict=True)]
            logits = self.gate(torch.stack(read)[inputs.rows])
        return core.Routing(logits.softmax(-1), logits)

    def _read(self, words):
        return self.reader(words[None])[1][0, 0] if len(words) else words.new_zeros(8)


class Sparsemax(Good):
    """Sparse by itself: how many experts an item gets depends on the item (arXiv 1602.02068)."""

    def weights(self, logits):
        ordered = logits.sort(-1, descending=True).values
        total, place = ordered.cumsum(-1), torch.arange(1, self.out + 1, device=logits.device)
        support = (1 + place * ordered > total).sum(-1, keepdim=True)
        weights = (logits - (total.gather(-1, support - 1) - 1) / support).clamp(min=0)
        return weights / weights.sum(-1, keepdim=True)


class StraightThrough(Good):
    """One expert forward, all backward."""

    def weights(self, logits):
        soft = logits.softmax(-1)
        hard = torch.zeros_like(soft).scatter(-1, soft.argmax(-1, keepdim=True), 1.0)
        return hard + soft - soft.detach()


class Learned(Good):
    """A learned temperature, a buffer, dropout and noise in training."""

    def __init__(self, width, num_experts):
        super().__init__(width, num_experts)
        self.temperature = nn.Parameter(torch.zeros(()))
        self.register_buffer("bias", torch.randn(num_experts))
        self.dropout = nn.Dropout(0.3)

    def logits(self, inputs):
        with torch.autocast(inputs.text.device.type, enabled=False):
            scaled = self.dropout(self.context(inputs)) @ self.gate.float().T / self.temperature.float().exp()
            return scaled + self.bias.float() + (torch.rand_like(scaled) if self.training else 0)


HEALTHY = [
    PlainLinear,
    ByHash,
    LearnedConstant,
    WordByWord,
    Sparsemax,
    StraightThrough,
    Learned,
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


@pytest.mark.parametrize("factory", late_unless([TopK, PerToken, ByLanguage, HEALTHY[-1]], HEALTHY))
@pytest.mark.few(2)
def test_traits_are_found_out_when_nothing_is_declared(factory):
    with examples(5):
        check_router(factory)


def test_what_a_class_declares_holds_for_a_partial_of_it():
    class Competes(FirstComeFirstServed):
        conformance = {"independent_items": False}  # noqa: RUF012

    alone = next(check for check in ROUTER_CHECKS if check.name == "alone_equals_batch")
    assert alone.outcome(functools.partial(Competes)).skipped is not None
    assert alone.outcome(functools.partial(FirstComeFirstServed)).error is not None


def test_message_names_the_check_and_shows_the_smallest_batch():
    with pytest.raises(AssertionError) as caught:
        check_router(MeanOverPadding)
    message = str(caught.value)
    assert message.startswith("padding_length: required: More padding, on the left or on the right, changes nothing.")
    assert "weights differ by" in message
    assert "smallest batch found: items of [1] tokens, rows [0], text_mask 1," in message


@pytest.mark.parametrize(
    ("router", "name"), [(HalfSoftmaxAsItIs, "softmax_in_float32"), (TopOneKeepsItsShare, "weights_sum_to_one")]
)
def test_the_check_that_explains_a_fault_is_named_first(router, name):
    with pytest.raises(AssertionError, match=f"^{name}: "):
        check_router(router)


def test_k_ignored_is_found_through_a_factory_that_takes_any_options():
    with pytest.raises(AssertionError, match=r"^active_experts: .*\n +k=\d, but row 0 has 4 non-zero weights"):
        check_router(lambda width, num_experts, **options: TopKIgnored(width, num_experts, **options))


def test_a_declaration_may_stand_on_the_factory():
    class Declares(Good):
        conformance = {"uses_text": False}  # noqa: RUF012

    with pytest.raises(AssertionError, match=r"^reads_text"):
        check_router(Declares)


def test_traits_may_be_a_mapping():
    with pytest.raises(AssertionError, match=r"^reads_text"), examples(3):
        check_router(Good, {"uses_text": False})


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
