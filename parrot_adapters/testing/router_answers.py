"""What a router's answer looks like: its form, a distribution over experts, k of them, for every batch."""

from __future__ import annotations

from dataclasses import replace

import torch
from hypothesis import strategies as st

from parrot_adapters.core import Routing, RoutingInputs
from parrot_adapters.testing.batches import fill_masked, garbage, without_text
from parrot_adapters.testing.checks import Skipped, agree, for_all, seeded
from parrot_adapters.testing.router_subject import RouterSubject
from parrot_adapters.testing.strategies import EXTREME_SCALES

__all__ = [
    "active_experts",
    "empty_items",
    "empty_prompts",
    "extreme_values",
    "interface",
    "reads_text",
    "training_mode",
    "weights_sum_to_one",
]


def interface(subject: RouterSubject) -> None:
    """It answers with a Routing: weights and float32 logits of shape (I, E), or (N, E) and marked ``per_token``."""
    t = subject.traits

    def holds(case: tuple[RoutingInputs, int]) -> None:
        inputs, num_experts = case
        routing = subject.route(inputs, subject.make(num_experts).eval())
        rows = inputs.tokens.shape[0] if t.per_token else inputs.offsets.numel() - 1
        for name, value in (("weights", routing.weights), ("logits", routing.logits)):
            assert tuple(value.shape) == (rows, num_experts), (
                f"{name} have shape {tuple(value.shape)}, expected {(rows, num_experts)}"
            )
        assert routing.logits.dtype == torch.float32, f"logits are {routing.logits.dtype}, they must be float32"
        assert routing.weights.is_floating_point(), f"weights are {routing.weights.dtype}"
        if routing.context is not None:
            expected = (inputs.offsets.numel() - 1, t.width)
            assert tuple(routing.context.shape) == expected, (
                f"context has shape {tuple(routing.context.shape)}, expected {expected}: one per item"
            )
        if routing.abstain is not None:
            shown = f"{routing.abstain.dtype} of shape {tuple(routing.abstain.shape)}"
            assert routing.abstain.dtype == torch.bool, f"abstain is {shown}, it must be torch.bool"
            assert tuple(routing.abstain.shape) == (rows,), f"abstain is {shown}, expected ({rows},)"
        if t.per_token:
            assert routing.per_token, "a router per token must answer with per_token=True (shapes can be ambiguous)"
        else:
            assert not routing.per_token, "it answers per item and says per_token=True"

    for_all(st.tuples(subject.cases(), st.sampled_from((t.num_experts, t.num_experts + 3))), holds)


def weights_sum_to_one(subject: RouterSubject) -> None:
    """Weights are finite, not negative, and sum to one for every item; logits are not NaN."""

    def holds(case: tuple[RoutingInputs, dict[str, int]]) -> None:
        inputs, options = case
        _is_routing(subject, subject.route(inputs, subject.fresh(options=options)))

    choices = subject.k_choices()
    also = [(subject.crowd(), options) for options in choices]
    for_all(st.tuples(subject.cases(), st.sampled_from(choices)), holds, also=also)


def training_mode(subject: RouterSubject) -> None:
    """In training, too, weights are a distribution; two passes differ only if it is declared stochastic."""

    def holds(inputs: RoutingInputs) -> None:
        module = subject.fresh().train()
        routing = subject.route(inputs, module)
        _is_routing(subject, routing)
        if subject.traits.stochastic is False:
            with seeded(8):
                again = subject.call(subject.fresh().train(), inputs)
            agree(again, {"weights": routing.weights}, found_is="second pass", wanted_is="first pass")

    for_all(subject.cases(), holds)


def active_experts(subject: RouterSubject) -> None:
    """Exactly k weights of each row are non-zero, and ``active`` names them; a dense router has no zeros."""
    t = subject.traits

    def holds(case: tuple[RoutingInputs, dict[str, int]]) -> None:
        inputs, options = case
        k = t.top_k if t.k_option is None else options[t.k_option]
        routing = subject.route(inputs, subject.fresh(options=options))
        weights, active = routing.weights, routing.active
        used = (weights != 0).sum(-1)
        if t.sums_to_one is False:
            used, weights = used[used > 0], weights[used > 0]
        if k is not None:
            wrong = (used != k).nonzero().flatten()
            assert not wrong.numel(), (
                f"k={k}, but row {int(wrong[0])} has {int(used[wrong[0]])} non-zero weights: "
                f"{[round(w, 4) for w in weights[wrong[0]].tolist()]}"
            )
        if active is not None:
            rows = routing.weights.shape[0]
            assert active.dtype == torch.int64, f"active must be int64 of shape ({rows}, k), not {active.dtype}"
            assert active.ndim == 2, f"active must be of shape ({rows}, k), not {tuple(active.shape)}"
            assert active.shape[0] == rows, f"active must be of shape ({rows}, k), not {tuple(active.shape)}"
            marked = torch.zeros_like(routing.weights, dtype=torch.bool).scatter(-1, active, True)
            assert bool((marked.sum(-1) == active.shape[-1]).all()), "active names an expert twice"
            outside = routing.weights.masked_fill(marked, 0.0)
            assert not bool(outside.any()), "experts that active does not name have non-zero weights"
        if t.sparse is False:
            assert bool((routing.weights > 0).all()), "declared dense (sparse=False), but some weights are zero"

    for_all(st.tuples(subject.cases(), st.sampled_from(subject.k_choices())), holds)


def reads_text(subject: RouterSubject) -> None:
    """Another prompt changes the routing (``uses_text=True``), or must not (``uses_text=False``)."""
    uses = subject.traits.uses_text
    if uses is None:
        raise Skipped("not declared (uses_text)")
    inputs = subject.typical()
    other = replace(inputs, text=inputs.text.flip(0, 1, 2) * 0.7)
    one, two = (subject.answer(x)["weights"].detach() for x in (inputs, other))
    changed = float((one - two).abs().max()) > 1e-6
    assert changed or not uses, "another prompt gave exactly the same weights, though it declares uses_text=True"
    assert uses or not changed, "another prompt changed the weights, though it declares uses_text=False"


def empty_prompts(subject: RouterSubject) -> None:
    """A prompt without any routing text still gives finite weights that sum to one, whatever lies under the mask."""

    def holds(inputs: RoutingInputs) -> None:
        routing = subject.route(inputs)
        _is_routing(subject, routing)
        noisy = subject.answer(fill_masked(inputs, garbage(inputs, 99.0)))
        agree(
            noisy,
            {"weights": routing.weights},
            found_is="other values under the mask",
            wanted_is="empty prompt",
            only=["weights"],
        )

    for_all(subject.cases().map(lambda inputs: without_text(inputs, int(inputs.rows[0]))), holds)


def empty_items(subject: RouterSubject) -> None:
    """Items without visual tokens give finite weights that sum to one."""

    def holds(inputs: RoutingInputs) -> None:
        _is_routing(subject, subject.route(inputs))

    for_all(subject.cases(empty_items=True), holds)


def extreme_values(subject: RouterSubject) -> None:
    """Very large, very small and zero inputs give finite weights that sum to one."""

    def holds(inputs: RoutingInputs) -> None:
        _is_routing(subject, subject.route(inputs))

    for_all(subject.cases(scales=st.sampled_from(EXTREME_SCALES)), holds)


def _is_routing(subject: RouterSubject, routing: Routing) -> None:
    """The weights are a distribution over experts for every row, and no logit is NaN."""
    weights = routing.weights.detach().float()
    shown = f": {[round(w, 4) for w in weights.reshape(-1, weights.shape[-1])[0].tolist()]}" if weights.numel() else ""
    assert not bool(weights.isnan().any()), "some weights are NaN"
    assert bool(weights.isfinite().all()), "some weights are infinite"
    assert bool((weights >= 0).all()), f"some weights are negative{shown}"
    total = weights.sum(-1)
    allowed = 1e-5 if routing.weights.dtype in (torch.float32, torch.float64) else 2e-2
    wrong = (total - 1).abs() > allowed
    if not subject.traits.sums_to_one:
        wrong &= total != 0
    at = wrong.nonzero().flatten()
    assert not at.numel(), (
        f"the weights of row {int(at[0])} sum to {float(total[at[0]]):.6g}, not one: "
        f"{[round(w, 4) for w in weights[at[0]].tolist()]}"
    )
    logits = routing.logits.detach()
    assert not bool(logits.isnan().any()), "some logits are NaN"
    assert not bool((logits == float("inf")).any()), "some logits are infinite"
