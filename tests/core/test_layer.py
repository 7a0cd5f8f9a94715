"""The layer against DESIGN's formulas written out sample by sample, and what it guarantees beyond one module."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.tiers import late_unless
from torch import nn
from torch.testing import assert_close
from torch.utils.flop_counter import FlopCounterMode

from parrot_adapters.core import (
    AlignmentLayer,
    ConditionedSwiGLUExperts,
    FirstTokenSummary,
    MeanSummary,
    MLPExperts,
    Routing,
    RoutingInputs,
    SwiGLUExperts,
    TextGuidedQKVRouter,
    TextGuidedRouter,
    keep_top_k,
    spread,
)
from parrot_adapters.errors import ConfigError, RoutingError
from parrot_adapters.testing import routing_inputs, tensors

D, F, E = 8, 6, 4
quick = settings(max_examples=15, deadline=None, derandomize=True)
inputs = routing_inputs(D, empty_items=True, empty_prompts=True)


def make_layer(experts=SwiGLUExperts, router=TextGuidedRouter, *, trained=True, normalize="rms", seed=0, **settings_):
    """A layer with random weights everywhere (a new one is the identity), or as it starts."""
    generator = torch.Generator().manual_seed(seed)
    layer = AlignmentLayer(
        summary=MeanSummary(D),
        router=router(D, E, normalize=normalize),
        experts=experts(D, F, E),
        num_experts=E,
        **settings_,
    )
    with torch.no_grad():
        for name, parameter in layer.named_parameters():
            if trained or "down" not in name:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.4)
    return layer


def run(layer, batch: RoutingInputs):
    return layer(batch.tokens, batch.offsets, batch.rows, batch.text, batch.text_mask)


# -- the slow reference: one image at a time, plain Python sums ------------------------------------------------------


def rms(vector):
    return vector / (vector.square().mean() + torch.finfo(torch.float32).eps).sqrt()


def reference_context(visual, words, normalize):
    """c = softmax(s H^T / sqrt(D)) H for one image with visual tokens (T, D) and the routing text (S, D)."""
    summary = visual.mean(0) if len(visual) else torch.zeros(D)
    if normalize == "rms":
        summary, words = rms(summary), [rms(word) for word in words]
    if len(words) == 0:
        return torch.zeros(D)
    scores = [float(summary @ word) / math.sqrt(D) for word in words]
    exponentials = [math.exp(score - max(scores)) for score in scores]
    return sum(e / sum(exponentials) * word for e, word in zip(exponentials, words, strict=True))


def reference_expert(experts, e, token, context):
    if isinstance(experts, MLPExperts):
        hidden = nn.functional.silu(experts.up[e] @ token + experts.up_bias[e])
        return hidden @ experts.down[e] + experts.down_bias[e]
    gate = experts.gate[e] @ token
    if isinstance(experts, ConditionedSwiGLUExperts):
        gate = gate + experts.context_gate[e] @ context
    return (nn.functional.silu(gate) * (experts.up[e] @ token)) @ experts.down[e]


def reference_layer(layer, batch, *, normalize, top_k=None):
    """residual_scale V + moe_scale sum_i p_i Expert_i(V), image by image and token by token."""
    out = []
    for item, row in enumerate(batch.rows.tolist()):
        visual = batch.tokens[int(batch.offsets[item]) : int(batch.offsets[item + 1])]
        words = [word for word, on in zip(batch.text[row], batch.text_mask[row], strict=True) if on]
        context = reference_context(visual, words, normalize)
        weights = torch.softmax(layer.router.gate @ context, 0).tolist()
        chosen = sorted(range(E), key=lambda e: weights[e], reverse=True)[: top_k or E]
        share = sum(weights[e] for e in chosen)
        for token in visual:
            mixture = sum(weights[e] / share * reference_expert(layer.experts, e, token, context) for e in chosen)
            out.append(layer.residual_scale * token + layer.moe_scale * mixture)
    return torch.stack(out) if out else batch.tokens


@pytest.mark.parametrize("experts", [SwiGLUExperts, MLPExperts, ConditionedSwiGLUExperts])
@pytest.mark.parametrize("scales", [(1.0, 1.0), (0.1, 1.0), (1.0, 0.3)], ids=["identity", "released", "scaled"])
@pytest.mark.parametrize("normalize", ["rms", "none"])
@pytest.mark.few(5)
def test_agrees_with_the_formulas(experts, scales, normalize):
    layer = make_layer(experts, normalize=normalize, residual_scale=scales[0], moe_scale=scales[1])

    @quick
    @given(inputs)
    def holds(batch):
        with torch.no_grad():
            wanted = reference_layer(layer, batch, normalize=normalize)
            assert_close(run(layer, batch).tokens, wanted, rtol=1e-4, atol=1e-5)

    holds()


@pytest.mark.parametrize("k", [1, 2, 3])
def test_top_k_agrees_with_the_formulas(k):
    layer = make_layer(top_k=k)

    @quick
    @given(routing_inputs(D))
    def holds(batch):
        with torch.no_grad():
            aligned = run(layer, batch)
            assert_close(aligned.tokens, reference_layer(layer, batch, normalize="rms", top_k=k), rtol=1e-4, atol=1e-5)
        assert_close(aligned.routing.weights.sum(-1), torch.ones(len(batch.rows)))
        assert ((aligned.routing.weights > 0).sum(-1) == k).all()

    holds()


# -- identity -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("experts", late_unless([SwiGLUExperts], [SwiGLUExperts, MLPExperts, ConditionedSwiGLUExperts]))
@pytest.mark.parametrize("top_k", [None, 2])
@pytest.mark.parametrize("adapter", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("host", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.few(3)
def test_a_new_layer_changes_no_bit(experts, top_k, adapter, host):
    layer = AlignmentLayer(
        summary=MeanSummary(D),
        router=TextGuidedRouter(D, E),
        experts=experts(D, F, E),
        num_experts=E,
        top_k=top_k,
    ).to(adapter)

    @quick
    @given(routing_inputs(D, dtype=host, scales=st.sampled_from((1.0, 100.0))))
    def holds(batch):
        aligned = run(layer, batch)
        assert aligned.tokens.dtype == host
        assert torch.equal(aligned.tokens, batch.tokens)
        assert aligned.routing.logits.dtype == torch.float32

    holds()


# -- ragged batches -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("router", [TextGuidedRouter, TextGuidedQKVRouter])
@pytest.mark.parametrize("top_k", [None, 1])
def test_a_batch_is_its_items_one_by_one(router, top_k):
    layer = make_layer(router=router, top_k=top_k)

    @quick
    @given(routing_inputs(D, empty_items=True))
    def holds(batch):
        together = run(layer, batch)
        for item, row in enumerate(batch.rows.tolist()):
            mine = slice(int(batch.offsets[item]), int(batch.offsets[item + 1]))
            visual = batch.tokens[mine]
            alone = layer(
                visual,
                torch.tensor([0, len(visual)]),
                torch.tensor([0]),
                batch.text[row : row + 1],
                batch.text_mask[row : row + 1],
            )
            assert_close(alone.tokens, together.tokens[mine], rtol=1e-4, atol=1e-5)
            assert_close(alone.routing.weights[0], together.routing.weights[item], rtol=1e-4, atol=1e-5)

    holds()


def test_no_item_at_all_keeps_every_parameter_in_the_graph():
    layer = make_layer()
    none = torch.zeros(0, dtype=torch.int64)
    aligned = layer(
        torch.zeros(0, D), torch.zeros(1, dtype=torch.int64), none, torch.randn(2, 3, D), torch.ones(2, 3) > 0
    )
    assert aligned.tokens.shape == (0, D)
    assert aligned.routing.weights.shape == (0, E)
    aligned.tokens.sum().backward()
    assert all(p.grad is not None and not p.grad.any() for p in layer.parameters())


# -- compute falls with k -------------------------------------------------------------------------------------------


class Counting(SwiGLUExperts):
    """Counts the (token, expert) pairs that are multiplied."""

    pairs = 0

    def hidden(self, tokens, experts, context):
        self.pairs += tokens.shape[0] * len(range(*experts.indices(self.num_experts)))
        return super().hidden(tokens, experts, context)


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_work_is_proportional_to_k(k):
    bank = Counting(D, F, E)
    logits = torch.randn(3, E, generator=torch.Generator().manual_seed(0))
    routing = keep_top_k(Routing(logits.softmax(-1), logits), k)
    bank(torch.randn(30, D), torch.tensor([0, 5, 18, 30]), routing)
    assert bank.pairs == 30 * k


def test_flops_are_proportional_to_k():
    def flops(k):
        bank, logits = SwiGLUExperts(D, F, E), torch.randn(3, E, generator=torch.Generator().manual_seed(0))
        routing = keep_top_k(Routing(logits.softmax(-1), logits), k)
        with FlopCounterMode(display=False) as counted:
            bank(torch.randn(30, D), torch.tensor([0, 5, 18, 30]), routing)
        return counted.get_total_flops()

    assert [flops(k) / flops(E) for k in (1, 2, 3)] == [0.25, 0.5, 0.75]


# -- routing per token ----------------------------------------------------------------------------------------------


class PerToken(nn.Module):
    """A different routing for each visual token."""

    def __init__(self, marked=True):
        super().__init__()
        self.marked = marked

    def forward(self, batch):
        logits = batch.tokens[:, :E].float()
        return Routing(logits.softmax(-1), logits, per_token=True if self.marked else None)


def test_routing_per_token():
    layer = make_layer()
    layer.router = PerToken()
    batch = torch.randn(5, D, generator=torch.Generator().manual_seed(1))
    text, mask = torch.randn(1, 2, D), torch.ones(1, 2) > 0
    for offsets in ([0, 2, 5], [0, 2, 2, 2, 2, 5]):  # the second has as many items as tokens
        items = torch.zeros(len(offsets) - 1, dtype=torch.int64)
        aligned = layer(batch, torch.tensor(offsets), items, text, mask)
        wanted = [
            token
            + sum(torch.softmax(token[:E], 0)[e] * reference_expert(layer.experts, e, token, None) for e in range(E))
            for token in batch
        ]
        assert_close(aligned.tokens, torch.stack(wanted), rtol=1e-4, atol=1e-5)


def test_as_many_items_as_tokens_means_per_item_unless_marked():
    logits = torch.randn(2, E)
    unmarked = Routing(logits.softmax(-1), logits)
    assert not unmarked.routes_tokens(num_items=2)
    assert unmarked.routes_tokens(num_items=1)
    assert unmarked._replace(per_token=True).routes_tokens(num_items=2)
    assert not unmarked._replace(per_token=False).routes_tokens(num_items=2)


# -- normalisation --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("router", [TextGuidedRouter, TextGuidedQKVRouter])
def test_rms_makes_routing_independent_of_the_scale_of_embeddings(router):
    layer = make_layer(router=router)

    @quick
    @given(routing_inputs(D), st.sampled_from((0.05, 0.5, 30.0, 1e3)), st.sampled_from((0.05, 1.0, 1e3)))
    def holds(batch, text_scale, visual_scale):
        one = run(layer, batch).routing.weights
        scaled = layer(
            batch.tokens * visual_scale, batch.offsets, batch.rows, batch.text * text_scale, batch.text_mask
        ).routing.weights
        assert_close(scaled, one, rtol=0, atol=2e-3)  # rms_norm's epsilon shows at the small end

    holds()


def test_without_normalisation_the_scale_matters():
    layer = make_layer(normalize="none")
    text, mask = torch.randn(1, 4, D, generator=torch.Generator().manual_seed(2)), torch.ones(1, 4) > 0
    visual = torch.randn(3, D, generator=torch.Generator().manual_seed(3))
    one, ten = (
        layer(visual, torch.tensor([0, 3]), torch.tensor([0]), text * s, mask).routing.weights for s in (1.0, 10.0)
    )
    assert (one - ten).abs().max() > 0.05


# -- top-k of whatever a router returned -----------------------------------------------------------------------------


@quick
@given(tensors((3, E)), st.integers(1, E))
def test_keep_top_k_keeps_the_largest_and_renormalises(logits, k):
    weights = logits.softmax(-1)
    kept = keep_top_k(Routing(weights, logits), k)
    assert_close(kept.weights.sum(-1), torch.ones(3))
    order = weights.argsort(-1, descending=True)
    for row in range(3):
        chosen = order[row, :k]
        assert_close(kept.weights[row, chosen], weights[row, chosen] / weights[row, chosen].sum())
        assert not kept.weights[row, order[row, k:]].any()


def test_keep_top_k_of_weights_that_are_all_zero_shares_evenly():
    nothing = torch.zeros(1, E)
    assert keep_top_k(Routing(nothing, nothing), 2).weights.sort().values.tolist() == [[0, 0, 0.5, 0.5]]


# -- mistakes -------------------------------------------------------------------------------------------------------


class Says(nn.Module):
    """A router that answers what it is told to."""

    def __init__(self, answer):
        super().__init__()
        self.answer = answer

    def forward(self, batch):
        return self.answer


UNIFORM = torch.full((2, E), 1 / E)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ((UNIFORM, UNIFORM), "returned tuple, not parrot_adapters.Routing"),
        (Routing(UNIFORM.tolist(), UNIFORM), "returned weights as list, not a tensor"),
        (Routing(UNIFORM, UNIFORM.numpy()), "returned logits as ndarray, not a tensor"),
        (Routing(UNIFORM[:1], UNIFORM[:1]), r"weights of shape \(1, 4\)"),
        (Routing(UNIFORM[:, :3], UNIFORM[:, :3]), r"weights of shape \(2, 3\)"),
        (Routing(UNIFORM, torch.zeros(5, E)), r"logits of shape \(5, 4\)"),
        (Routing(UNIFORM, UNIFORM, per_token=True), r"weights of shape \(2, 4\)(.|\n)*per token +True"),
        (Routing(torch.zeros(5, E), torch.zeros(5, E), per_token=False), r"weights of shape \(5, 4\)"),
        (Routing(UNIFORM, UNIFORM.bfloat16()), "logits in torch.bfloat16; they must be float32"),
        (Routing(UNIFORM, UNIFORM, context=torch.zeros(5, D)), r"context of shape \(5, 8\)"),
        (Routing(UNIFORM, UNIFORM, active=torch.zeros(5, 1)), r"active of shape \(5, 1\)"),
    ],
)
def test_a_wrong_answer_of_a_router_is_one_clear_error(answer, message):
    layer = make_layer()
    layer.router = Says(answer)
    with pytest.raises(RoutingError, match=message):
        layer(
            torch.randn(5, D), torch.tensor([0, 2, 5]), torch.tensor([0, 0]), torch.randn(1, 2, D), torch.ones(1, 2) > 0
        )


@pytest.mark.parametrize(("answer", "message"), [(torch.zeros(5, 3), r"shape \(5, 3\)"), (None, "NoneType")])
def test_a_wrong_answer_of_the_experts_is_one_clear_error(answer, message):
    class Wrong(nn.Module):
        def forward(self, tokens, offsets, routing):
            return answer

    layer = make_layer()
    layer.experts = Wrong()
    with pytest.raises(RoutingError, match=f"the experts Wrong returned .*{message}"):
        layer(
            torch.randn(5, D), torch.tensor([0, 2, 5]), torch.tensor([0, 0]), torch.randn(1, 2, D), torch.ones(1, 2) > 0
        )


def test_conditioned_experts_without_a_context_say_what_to_do():
    layer = make_layer(ConditionedSwiGLUExperts)
    layer.router = PerToken()
    with pytest.raises(ConfigError, match=r"needs a router that returns a context(.|\n)*router='text-guided'"):
        layer(torch.randn(5, D), torch.tensor([0, 5]), torch.tensor([0]), torch.randn(1, 2, D), torch.ones(1, 2) > 0)


@pytest.mark.parametrize("k", [0, E + 1, -1])
def test_impossible_top_k(k):
    with pytest.raises(ConfigError, match=f"top_k={k} must lie between 1 and num_experts={E}"):
        make_layer(top_k=k)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_means_are_taken_in_float32(dtype):
    """A sum of a thousand ones stops at 256 in bfloat16, and of a hundred thousands at infinity in float16."""
    tokens, offsets = torch.ones(1100, 2, dtype=dtype), torch.tensor([0, 1000, 1100])
    tokens[1000:] = 1000
    assert MeanSummary(2)(tokens, offsets).tolist() == [[1, 1], [1000, 1000]]


@pytest.mark.parametrize("summary", [MeanSummary, FirstTokenSummary])
def test_an_item_without_tokens_is_summed_up_as_zeros(summary):
    offsets = torch.tensor([0, 0, 2, 2, 3, 3])
    assert summary(2)(torch.ones(3, 2), offsets).tolist() == [[0, 0], [1, 1], [0, 0], [1, 1], [0, 0]]


def test_spread_gives_each_token_its_items_value():
    per_item = torch.tensor([[1.0], [2.0], [3.0]])
    assert spread(per_item, torch.tensor([0, 2, 2, 3]), 3).flatten().tolist() == [1, 1, 3]


class PlainGate(nn.Module):
    """A router as a newcomer writes it: nothing about autocast."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Linear(D, 3)

    def forward(self, inputs: RoutingInputs) -> Routing:
        logits = self.gate(inputs.summary.float())
        return Routing(logits.softmax(-1), logits)


def test_routers_need_not_think_of_autocast() -> None:
    torch.manual_seed(0)
    router = PlainGate()
    layer = AlignmentLayer(summary=MeanSummary(D), router=router, experts=SwiGLUExperts(D, F, 3), num_experts=3)
    tokens, text = torch.randn(5, D), torch.randn(2, 4, D)
    given = (tokens, torch.tensor([0, 2, 5]), torch.tensor([0, 1]), text, torch.ones(2, 4, dtype=torch.bool))
    wanted = layer(*given).routing
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(layer(*given).routing.logits, wanted.logits)
        assert router.gate(tokens).dtype == torch.bfloat16, "autocast does nothing here, so nothing was shown"
