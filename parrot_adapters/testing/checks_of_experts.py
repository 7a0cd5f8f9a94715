"""The conformance checks of an expert bank, each as a function of an :class:`ExpertSubject`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import one_hot

from parrot_adapters.core import Routing, keep_top_k, lengths, offsets_from_lengths, spread
from parrot_adapters.testing.batches import call_items, other_items, positions
from parrot_adapters.testing.checks import Factory, Skipped, agree, checks_of, for_all
from parrot_adapters.testing.copies import config_round_trip, deepcopy, pickles, state_dict_round_trip
from parrot_adapters.testing.devices import device_kept
from parrot_adapters.testing.expert_subject import ExpertSubject
from parrot_adapters.testing.modules import (
    checkpointing,
    compiled,
    deterministic,
    gradients_reach,
    inputs_untouched,
    stateless,
)
from parrot_adapters.testing.strategies import ExpertCall
from parrot_adapters.testing.traits import ExpertTraits

__all__ = ["EXPERT_CHECKS", "ExpertSubject", "check_expert"]


def check_expert(factory: Factory, traits: ExpertTraits | Mapping[str, Any] | None = None) -> None:
    """Try every conformance check on an expert bank; the first that fails raises.

    Args:
        factory: Factory ``(width, hidden_size, num_experts, **options)`` of a module
            ``(tokens, offsets, routing) -> (N, D)``: a class, a function, a ``functools.partial``.
        traits: What the bank declares of itself, as ``ExpertTraits`` or a mapping of its fields; None (default) reads
            the factory's ``conformance`` mapping, if it has one, and finds out the rest.

    Raises:
        AssertionError: A check failed; the message begins with its name and ends with the smallest batch found.
    """
    for check in EXPERT_CHECKS:
        replace(check, traits=traits)(factory)


def interface(subject: ExpertSubject) -> None:
    """It answers with finite tokens of the shape and dtype it was given."""

    def holds(call: ExpertCall) -> None:
        found = subject.answer(call)["tokens"]
        assert isinstance(found, Tensor), f"it returned {type(found).__name__}, not a tensor"
        assert found.shape == call.tokens.shape, f"shape {tuple(found.shape)} for tokens {tuple(call.tokens.shape)}"
        assert found.dtype == call.tokens.dtype, f"{found.dtype} for tokens in {call.tokens.dtype}"
        assert bool(found.isfinite().all()), "some values are not finite"

    for_all(subject.cases(), holds)


def identity_at_start(subject: ExpertSubject) -> None:
    """A new bank answers exactly zero, so that attaching an adapter changes nothing."""
    if not subject.traits.identity_at_start:
        raise Skipped("declared: not the identity at the start (identity_at_start=False)")

    def holds(call: ExpertCall) -> None:
        found = subject.answer(call, subject.make().eval())["tokens"].detach()
        assert not bool(found.any()), f"up to {float(found.abs().max()):.3g} before any training"

    for_all(subject.cases(), holds)


def alone_equals_batch(subject: ExpertSubject) -> None:
    """An item gets the same answer alone as in any batch."""

    def holds(call: ExpertCall) -> None:
        together = subject.answer(call)["tokens"]
        for item in range(call.offsets.numel() - 1):
            alone = subject.answer(call_items(call, [item]))
            batch = {"tokens": together[positions(call.offsets, [item])]}
            agree(alone, batch, found_is=f"item {item} alone", wanted_is=f"item {item} in the batch")

    for_all(subject.cases(), holds, also=[subject.crowd()])


def alone_equals_batch_in_training(subject: ExpertSubject) -> None:
    """In training, too, an item's answer does not depend on the other items of its batch."""

    def holds(call: ExpertCall) -> None:
        # An item alone would draw other dropout; among neighbours of other values and the same shapes, the same.
        wanted = subject.answer(call, subject.fresh().train())
        found = subject.answer(other_items(call, 0), subject.fresh().train())
        mine = positions(call.offsets, [0])
        agree(
            {"tokens": found["tokens"][mine]},
            {"tokens": wanted["tokens"][mine]},
            found_is="item 0 among other neighbours",
            wanted_is="item 0",
        )

    for_all(subject.cases(), holds, also=[subject.crowd()])


def token_by_token(subject: ExpertSubject) -> None:
    """A token's answer does not depend on the other tokens of its item."""
    if not subject.traits.pointwise:
        raise Skipped("declared: tokens of an item are mixed (pointwise=False)")

    def holds(call: ExpertCall) -> None:
        agree(
            subject.answer(_each_token_an_item(call)),
            subject.answer(call),
            found_is="each token an item of its own",
            wanted_is="together",
        )

    for_all(subject.cases(), holds)


def weighted_sum(subject: ExpertSubject) -> None:
    """The answer is the weighted sum of what each expert alone answers."""
    if not subject.traits.linear_in_weights:
        raise Skipped("declared: not a weighted sum of outputs (linear_in_weights=False)")

    def holds(call: ExpertCall) -> None:
        experts = subject.traits.num_experts
        items = call.offsets.numel() - 1
        wanted = torch.zeros_like(call.tokens)
        for expert in range(experts):
            only = one_hot(torch.full((items,), expert), experts).float()
            part = subject.answer(_with(call, weights=only))["tokens"]
            wanted = wanted + spread(call.routing.weights[:, expert : expert + 1], call.offsets, len(part)) * part
        agree(subject.answer(call), {"tokens": wanted}, found_is="the bank", wanted_is="expert by expert, summed")

    for_all(subject.cases(), holds)


def dense_equals_all_active(subject: ExpertSubject) -> None:
    """``active`` naming every expert, in any order, is the dense answer, gradients included."""
    if not subject.traits.sparse:
        raise Skipped("declared: always dense (sparse=False)")

    def holds(case: tuple[ExpertCall, list[int]]) -> None:
        call, order = case
        items = call.offsets.numel() - 1
        everyone = torch.tensor(order).expand(items, -1)
        sparse, dense = (_with_gradients(subject, c) for c in (_with(call, active=everyone), call))
        agree(sparse, dense, found_is="all experts active", wanted_is="dense")

    order = st.permutations(range(subject.traits.num_experts))
    for_all(st.tuples(subject.cases(), order), holds)


def inactive_experts(subject: ExpertSubject) -> None:
    """With top-k routing the answer and the gradients are those of the dense path with zeros for the others."""
    if not subject.traits.sparse:
        raise Skipped("declared: always dense (sparse=False)")

    def holds(case: tuple[ExpertCall, int]) -> None:
        call, k = case
        kept = keep_top_k(call.routing, k)
        sparse, dense = (_with_gradients(subject, call._replace(routing=r)) for r in (kept, kept._replace(active=None)))
        agree(sparse, dense, found_is=f"top {k}", wanted_is="dense with zero weights")

    sizes = st.integers(1, max(1, subject.traits.num_experts - 1))
    for_all(st.tuples(subject.cases(), sizes), holds)


def routing_per_token(subject: ExpertSubject) -> None:
    """One routing per visual token works, dense and sparse, even when there are as many tokens as items."""
    t = subject.traits
    if not t.per_token:
        raise Skipped("declared: one routing per item only (per_token=False)")
    if not t.pointwise:
        raise Skipped("declared: tokens of an item are mixed (pointwise=False)")

    def holds(case: tuple[ExpertCall, int | None, bool]) -> None:
        call, k, ambiguous = case
        if ambiguous:  # as many tokens as items: only ``per_token`` says which the rows of the weights are
            items = call.offsets.numel() - 1
            tokens = torch.randn(items, t.width, generator=torch.Generator().manual_seed(1))
            call = call._replace(tokens=tokens, offsets=torch.tensor([0] + [items] * items))
        count, context = call.tokens.shape[0], call.routing.context
        logits = torch.randn(count, t.num_experts, generator=torch.Generator().manual_seed(2))
        per_token = Routing(logits.softmax(-1), logits, context, per_token=True)
        if k is not None and t.sparse:
            per_token = keep_top_k(per_token, k)
        each = None if context is None else spread(context, call.offsets, count)
        single = per_token._replace(context=each, per_token=None)
        agree(
            subject.answer(call._replace(routing=per_token)),
            subject.answer(ExpertCall(call.tokens, torch.arange(count + 1), single)),
            found_is="per token",
            wanted_is="each token an item of its own",
        )

    for_all(st.tuples(subject.cases(empty_items=True), st.sampled_from((None, 1)), st.booleans()), holds)


def empty_items(subject: ExpertSubject) -> None:
    """Items without tokens are no trouble, and with no token at all every parameter still takes part in backward."""

    def holds(case: tuple[ExpertCall, bool]) -> None:
        call, sparse = case
        if sparse and subject.traits.sparse:
            call = call._replace(routing=keep_top_k(call.routing, 1))
        for trial in (call, _without_tokens(call)):
            module = subject.fresh().train()
            found = subject.answer(trial, module)["tokens"]
            assert found.shape == trial.tokens.shape, (
                f"shape {tuple(found.shape)} for tokens {tuple(trial.tokens.shape)}"
            )
            assert bool(found.isfinite().all()), "some values are not finite"
            if not any(p.requires_grad for p in module.parameters()):
                continue
            assert found.requires_grad, "the answer is cut off from the parameters; a distributed run would hang"
            found.sum().backward()
            idle = [n for n, p in module.named_parameters() if p.requires_grad and p.grad is None]
            idle = [n for n in idle if n not in subject.traits.untrained]
            if trial.routing.context is not None or not subject.traits.needs_context:
                assert not idle, f"{', '.join(idle)} took no part in backward; a distributed run would hang"

    for_all(st.tuples(subject.cases(empty_items=True), st.booleans()), holds)


def trains_the_router(subject: ExpertSubject) -> None:
    """Gradients reach the routing weights and the visual tokens through the bank."""
    call = subject.typical()
    weights = call.routing.weights.clone().requires_grad_()
    tokens = call.tokens.clone().requires_grad_()
    case = ExpertCall(tokens, call.offsets, call.routing._replace(weights=weights))
    answer = subject.answer(case, subject.fresh().train())
    assert answer["tokens"].requires_grad, "the answer is cut off from the graph"
    subject.trained_by(answer).backward()
    for name, leaf in (("routing weights", weights), ("visual tokens", tokens)):
        assert leaf.grad is not None, f"no gradient reaches the {name}"
        assert bool(leaf.grad.any()), f"the gradient of the {name} is zero"


def reads_context(subject: ExpertSubject) -> None:
    """A bank that needs a context heeds it."""
    if not subject.traits.needs_context:
        raise Skipped("it needs no context")
    call = subject.typical()
    context = call.routing.context
    assert context is not None
    other = call._replace(routing=call.routing._replace(context=context.flip(0)))
    one, two = subject.answer(call)["tokens"], subject.answer(other)["tokens"]
    assert not torch.equal(one, two), "another context gave exactly the same answer"


def half_precision(subject: ExpertSubject) -> None:
    """Under bfloat16 autocast, and cast to bfloat16, it runs and stays near the float32 answer."""
    call = subject.typical()
    wanted = subject.answer(call)
    with torch.autocast("cpu", torch.bfloat16):
        found = subject.answer(call)
    agree(found, wanted, found_is="under autocast", wanted_is="in float32", rtol=5e-2, atol=1e-2)
    if subject.traits.casts is not False:
        half = call._replace(tokens=call.tokens.bfloat16())
        found = subject.answer(half, subject.fresh().bfloat16())
        assert found["tokens"].dtype == torch.bfloat16, f"cast to bfloat16 it answers in {found['tokens'].dtype}"
        agree(found, wanted, found_is="cast to bfloat16", wanted_is="in float32", rtol=5e-2, atol=1e-2)


EXPERT_CHECKS = checks_of(  # in the order they are tried: what explains a failure best comes first
    ExpertSubject.of,
    [
        interface,
        inputs_untouched,
        deterministic,
        stateless,
        identity_at_start,
        alone_equals_batch,
        alone_equals_batch_in_training,
        token_by_token,
        trains_the_router,
        gradients_reach,
        weighted_sum,
        inactive_experts,
        dense_equals_all_active,
        empty_items,
        routing_per_token,
        half_precision,
        reads_context,
        checkpointing,
        state_dict_round_trip,
        config_round_trip,
        deepcopy,
        pickles,
        compiled,
        device_kept,
    ],
)


def _with(call: ExpertCall, **changes: Any) -> ExpertCall:
    return call._replace(routing=call.routing._replace(**changes))


def _each_token_an_item(call: ExpertCall) -> ExpertCall:
    count, routing = call.tokens.shape[0], call.routing
    sizes = lengths(call.offsets)
    index = torch.arange(sizes.numel()).repeat_interleave(sizes)
    spread_out = routing._replace(
        weights=routing.weights[index],
        logits=routing.logits[index],
        context=None if routing.context is None else routing.context[index],
    )
    return ExpertCall(call.tokens, offsets_from_lengths(torch.ones(count, dtype=torch.int64)), spread_out)


def _without_tokens(call: ExpertCall) -> ExpertCall:
    return call._replace(tokens=call.tokens[:0], offsets=torch.zeros_like(call.offsets))


def _with_gradients(subject: ExpertSubject, call: ExpertCall) -> dict[str, Tensor]:
    """The answer, and the gradients of parameters, tokens and routing weights."""
    module = subject.fresh()
    tokens = call.tokens.clone().requires_grad_()
    answer = subject.answer(call._replace(tokens=tokens), module)
    subject.trained_by(answer).backward()
    gradients = {f"the gradient of {n}": p.grad for n, p in module.named_parameters() if p.grad is not None}
    return answer | gradients | ({"the gradient of the tokens": tokens.grad} if tokens.grad is not None else {})
