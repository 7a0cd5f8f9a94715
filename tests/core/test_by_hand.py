"""Banks that run by hand against the same banks by autograd: answers, gradients, and what is kept for backward."""

from __future__ import annotations

from functools import partial
from itertools import product as every

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.tiers import late_unless
from torch.testing import assert_close
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from parrot_adapters.core import (
    ConditionedSwiGLUExperts,
    LowRankExperts,
    MergedExperts,
    MLPExperts,
    Routing,
    SharedSwiGLUExperts,
    SwiGLUExperts,
    grouped_passes,
    keep_top_k,
    offsets_from_lengths,
    products,
    swiglu_passes,
)
from parrot_adapters.errors import ConfigError

D, F, E = 6, 5, 3
BANKS = (SwiGLUExperts, ConditionedSwiGLUExperts, SharedSwiGLUExperts, MergedExperts)
PASSES = {
    "as it comes": {},
    "keep all": {"recompute": False},
    "again": {"recompute": True},
    "a third again": {"recompute": 1 / 3},
}


def made(kind, seed=0, *, sizes=(D, F, E), **options):
    """Random weights everywhere: at initialisation every bank answers zero."""
    bank, generator = kind(*sizes, **options).double(), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in bank.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * parameter.shape[-1] ** -0.5)
    return bank


def batch(sizes, seed=0, k=None, *, width=D, experts=E, per_token=False):
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randn(sum(sizes), width, generator=generator, dtype=torch.float64)
    rows = sum(sizes) if per_token else len(sizes)
    logits = torch.randn(rows, experts, generator=generator)
    context = torch.randn(len(sizes), width, generator=generator, dtype=torch.float64)
    routing = Routing(logits.double().softmax(-1), logits, context, per_token=per_token)
    return tokens, offsets_from_lengths(torch.tensor(sizes)), routing if k is None else keep_top_k(routing, k)


def results(bank, tokens, offsets, routing, frozen=()):
    """The answer, and the gradient of each thing that is not frozen."""
    leaves = {"tokens": tokens.clone(), "weights": routing.weights.clone(), **dict(bank.named_parameters())}
    if routing.context is not None and isinstance(bank, ConditionedSwiGLUExperts):
        leaves["context"] = routing.context.clone()
        routing = routing._replace(context=leaves["context"])
    for name, leaf in leaves.items():
        leaf.requires_grad_(name not in frozen)
    out = bank(leaves["tokens"], offsets, routing._replace(weights=leaves["weights"]))
    if out.requires_grad:
        (out * torch.arange(out.numel()).view_as(out).cos()).sum().backward()
    return {"answer": out.detach()} | {name: leaf.grad for name, leaf in leaves.items()}


def compare(kind, call, frozen=(), **options):
    fast, slow = (results(made(kind, by_hand=by_hand, **options), *call, frozen) for by_hand in (True, False))
    for name in fast:
        assert (fast[name] is None) == (slow[name] is None), name
        if fast[name] is not None:
            assert_close(fast[name], slow[name], msg=lambda message, name=name: f"{name}: {message}")


NAMES = ("tokens", "weights", "context", "gate", "up", "down")


@pytest.mark.parametrize("kind", BANKS)
@settings(deadline=None, max_examples=25)
@given(
    sizes=st.lists(st.integers(0, 4), min_size=1, max_size=11),
    seed=st.integers(0, 1000),
    k=st.sampled_from((None, 1, 2)),
    passes=st.sampled_from(list(PASSES)),
    frozen=st.sets(st.sampled_from(NAMES)),
    per_token=st.booleans(),
)
def test_by_hand_is_by_autograd(kind, sizes, seed, k, passes, frozen, per_token):
    per_token = per_token and kind is not MergedExperts
    compare(kind, batch(sizes, seed, k, per_token=per_token), frozen, **PASSES[passes])


def test_blocks_and_spans_have_seams(monkeypatch):
    monkeypatch.setattr(swiglu_passes, "BLOCK", 7)
    monkeypatch.setattr(swiglu_passes, "PRODUCT", 2 * F)
    for kind in BANKS:
        for passes in PASSES.values():
            compare(kind, batch([3, 0, 4]), **passes)


GROUPABLE = (SwiGLUExperts, ConditionedSwiGLUExperts, SharedSwiGLUExperts)
WIDE = (16, 8, E)  # grouped products want rows of whole sixteen bytes


def in_float32(kind, sizes, seed, active, frozen=(), **options):
    """Results of a bank in float32, the least that torch groups, with what is routed where."""
    tokens, offsets, routing = batch(sizes, seed, 1, width=WIDE[0])
    routing = routing._replace(weights=routing.weights.float() + 0.25, context=routing.context.float(), active=active)
    return results(made(kind, sizes=WIDE, **options).float(), tokens.float(), offsets, routing, frozen)


def compare_grouped(kind, sizes, seed, active, frozen=(), **options):
    grouped = in_float32(kind, sizes, seed, active, frozen, grouped=True, **options)
    plain = in_float32(kind, sizes, seed, active, frozen, by_hand=False)
    for name in grouped:
        assert (grouped[name] is None) == (plain[name] is None), name
        if grouped[name] is not None:
            assert_close(grouped[name], plain[name], rtol=1e-4, atol=1e-4, msg=lambda m, n=name: f"{n}: {m}")


@pytest.mark.parametrize("kind", GROUPABLE)
@settings(deadline=None, max_examples=25)
@given(
    sizes=st.lists(st.integers(0, 4), min_size=1, max_size=7),
    seed=st.integers(0, 1000),
    choices=st.lists(st.integers(-1, E), min_size=14, max_size=14),  # twice the same, and numbers of no expert
    passes=st.sampled_from(["keep all", "again"]),
    frozen=st.sets(st.sampled_from(NAMES)),
)
def test_grouped_is_by_autograd(kind, sizes, seed, choices, passes, frozen):
    active = torch.tensor(choices[: 2 * len(sizes)]).view(len(sizes), 2)
    compare_grouped(kind, sizes, seed, active, frozen, **PASSES[passes])


def test_groups_that_end_elsewhere_are_seen(monkeypatch):
    right = grouped_passes.GroupedTokens.by_expert
    active, wrong = torch.tensor([[0], [2]]), lambda *given: right(*given)._replace(ends=right(*given).ends - 1)
    compare_grouped(SwiGLUExperts, [3, 4], 0, active)
    monkeypatch.setattr(grouped_passes.GroupedTokens, "by_expert", wrong)
    with pytest.raises(AssertionError):
        compare_grouped(SwiGLUExperts, [3, 4], 0, active)


@pytest.mark.parametrize("kind", GROUPABLE)
def test_gradients_of_groups_can_be_differentiated(kind):
    def penalty(**options):
        bank = made(kind, sizes=WIDE, **options).float()
        tokens, offsets, routing = batch([2, 3], k=2, width=WIDE[0])
        tokens = tokens.float().requires_grad_()
        routing = routing._replace(weights=routing.weights.float(), context=routing.context.float())
        slope = torch.autograd.grad(bank(tokens, offsets, routing).sin().sum(), tokens, create_graph=True)[0]
        slope.square().sum().backward()
        return {name: parameter.grad for name, parameter in bank.named_parameters()}

    grouped, plain = penalty(grouped=True), penalty(by_hand=False)
    for name in plain:
        assert_close(grouped[name], plain[name], rtol=1e-4, atol=1e-4, msg=lambda m, n=name: f"{n}: {m}")


def test_a_wrong_gradient_is_seen(monkeypatch):
    right = swiglu_passes.backward_block

    def wrong(block, **options):
        right(block, **options)
        block[0].mul_(1.001)  # the gradient of the gates

    monkeypatch.setattr(swiglu_passes, "backward_block", wrong)
    with pytest.raises(AssertionError, match="gate"):
        compare(SwiGLUExperts, batch([3, 4]), frozen=("tokens",))


@pytest.mark.parametrize("kind", BANKS)
@pytest.mark.parametrize(("k", "passes"), late_unless([(1, "again")], every([None, 1], ["keep all", "again"])))
@pytest.mark.few(2)
def test_gradients_are_derivatives_and_can_be_differentiated(kind, k, passes):
    bank = made(kind, sizes=(3, 2, 2), **PASSES[passes])
    tokens, offsets, routing = batch([2, 1], k=k, width=3, experts=2)
    weights = routing.weights.clone().requires_grad_()

    def answer(tokens, weights, *parameters):
        return bank(tokens, offsets, routing._replace(weights=weights))

    given = (tokens.requires_grad_(), weights, *bank.parameters())
    torch.autograd.gradcheck(answer, given)
    torch.autograd.gradgradcheck(answer, given)


@pytest.mark.parametrize("kind", BANKS)
@pytest.mark.parametrize("k", [None, 2])
def test_half_precision_stays_near(kind, k):
    tokens, offsets, routing = batch([5, 3, 6], k=k)
    exact = results(made(kind), tokens, offsets, routing)
    half = routing._replace(context=routing.context.float(), weights=routing.weights.float())
    in_half = results(made(kind).bfloat16(), tokens.bfloat16(), offsets, half)
    with torch.autocast("cpu", torch.bfloat16):
        under_autocast = results(made(kind).float(), tokens.float(), offsets, half)
    wide_bank = results(made(kind).float(), tokens.bfloat16(), offsets, half)
    for found in (in_half, under_autocast, wide_bank):
        for name, value in exact.items():
            if value is not None:
                bound = 0.05 * value.abs().max().item()
                assert_close(found[name].double(), value, rtol=0, atol=bound, msg=lambda m, n=name: f"{n}: {m}")
    assert wide_bank["answer"].dtype == torch.float32
    assert in_half["gate"].dtype == torch.bfloat16


@pytest.mark.parametrize("kind", BANKS)
def test_what_looks_inside_gets_autograd(kind):
    bank = made(kind)
    tokens, offsets, routing = batch([2, 2])

    def loss(tokens):
        return bank(tokens, offsets, routing).square().sum()

    wanted = torch.autograd.grad(loss(tokens.requires_grad_()), tokens)[0]
    tokens = tokens.detach()
    assert_close(torch.func.grad(loss)(tokens), wanted)
    _, along = torch.func.jvp(loss, (tokens,), (torch.ones_like(tokens),))
    assert_close(along, wanted.sum())
    if kind is not MergedExperts:  # by size, it indexes what vmap would batch
        several = torch.stack([tokens, tokens])
        assert_close(torch.vmap(loss)(several), torch.stack([loss(tokens)] * 2))


def test_a_bank_with_hidden_units_of_its_own_is_asked_for_them():
    class Doubled(SwiGLUExperts):
        def hidden(self, tokens, experts, context):
            return 2 * super().hidden(tokens, experts, context)

    for k in (None, 1):
        call = batch([3, 2], k=k)
        assert_close(made(Doubled)(*call), 2 * made(SwiGLUExperts)(*call))


def kept(bank, tokens, offsets, routing):
    """Bytes that autograd keeps for backward beside the parameters; a storage counts once."""
    found, known = {}, {parameter.untyped_storage().data_ptr() for parameter in bank.parameters()}

    def pack(tensor):
        found[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        out = bank(tokens, offsets, routing._replace(weights=routing.weights.requires_grad_()))
    assert out.requires_grad
    return sum(size for place, size in found.items() if place not in known)


@pytest.mark.parametrize("kind", [SwiGLUExperts, ConditionedSwiGLUExperts, SharedSwiGLUExperts])
def test_memory_is_two_numbers_a_unit_or_none(kind):
    size, experts = 32, 6
    tokens, offsets, routing = batch([40, 60], width=size, experts=experts)

    def of(dtype=torch.float32, **options):
        bank = made(kind, sizes=(size, size, experts), **options).float()
        return kept(bank, tokens.to(dtype), offsets, routing)

    plain = of(by_hand=False)
    assert of(recompute=False) < 0.45 * plain
    assert of() < 0.36 * plain
    assert of(recompute=1 / 3) < 0.36 * plain
    assert of(recompute=True) < 0.09 * plain
    assert of(torch.bfloat16) < 0.25 * plain


def test_what_is_frozen_costs_nothing():
    def cost(*frozen):
        bank, call = made(SwiGLUExperts, recompute=False), batch([4, 5])
        with FlopCounterMode(display=False) as counted:
            results(bank, *call, frozen)
        return counted.get_total_flops()

    whole = cost()
    assert cost("tokens") == pytest.approx(whole * 7 / 9)
    assert cost("gate", "up", "down") == pytest.approx(whole * 6 / 9)


class Written(TorchDispatchMode):
    """Counts the numbers that operations write."""

    numbers = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        if not function.is_view:
            self.numbers += sum(t.numel() for t in tree_leaves(result) if isinstance(t, torch.Tensor))
        return result


@pytest.mark.parametrize("kind", [SwiGLUExperts, ConditionedSwiGLUExperts, LowRankExperts, MLPExperts])
def test_many_experts_cost_what_their_tokens_cost(kind):
    def passes_over_the_bank(kind):
        bank = made(kind, sizes=(8, 8, 32))
        with Written() as written:
            bank(*batch([2] * 32, k=1, width=8, experts=32)).sum().backward()
        return written.numbers / sum(p.numel() for p in bank.parameters())

    class OneByOne(kind):
        def hidden(self, tokens, experts, context):
            return super().hidden(tokens, experts, context)

    assert passes_over_the_bank(kind) < 12
    assert passes_over_the_bank(OneByOne) > 30


@pytest.mark.parametrize("options", [{"recompute": 2}, {"recompute": "yes"}, {"by_hand": 1.5}, {"grouped": "yes"}])
def test_impossible_options_are_refused(options):
    with pytest.raises(ConfigError, match=next(iter(options))):
        SwiGLUExperts(D, F, E, **options)


@pytest.mark.parametrize("options", [{}, {"recompute": False}, {"recompute": True}], ids=str)
@pytest.mark.parametrize("k", [None, 1])
def test_wide_products_in_full_precision(options, k, monkeypatch):
    """Of many rows in float32, which another library multiplies."""
    monkeypatch.setattr(products, "of_intel", lambda: False)
    tokens, offsets, routing = batch([700, 520], k=k, width=256, experts=2)
    routing = routing._replace(weights=routing.weights.float())
    fast, slow = (
        results(
            made(SwiGLUExperts, sizes=(256, 256, 2), by_hand=by_hand, **options).float(),
            tokens.float(),
            offsets,
            routing,
        )
        for by_hand in (True, False)
    )
    for name, value in fast.items():
        bound = 1e-5 * slow[name].abs().max().item()
        assert_close(value, slow[name], rtol=1e-4, atol=bound, msg=lambda text, at=name: f"{at}: {text}")


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("of_intel", [False, True])  # which library multiplies
def test_products_are_products(turned, of_intel, monkeypatch):
    monkeypatch.setattr(products, "of_intel", lambda: of_intel)
    generator = torch.Generator().manual_seed(0)
    left, right = torch.randn(513, 300, generator=generator), torch.randn(300, 257, generator=generator)
    right = right.T.contiguous().T if turned else right
    wanted = left.double() @ right.double()
    room = torch.full((513, 257), torch.nan)
    close = partial(assert_close, rtol=0, atol=5e-4, check_dtype=False)
    close(products.product(left, right), wanted)
    close(products.product(left, right, torch.empty(513, 257)), wanted)
    products.add_product(room, left, right, first=True)
    products.add_product(room, left, right)
    close(room, 2 * wanted)
