"""Sparse routing: k, noise, and the balancing bias with its state."""

from __future__ import annotations

import copy

import pytest
import torch
from support.tiers import late_unless
from torch.testing import assert_close
from torch.utils.checkpoint import checkpoint

from parrot_adapters import AdapterConfig, build_layer
from parrot_adapters.core import TextGuidedRouter, TopKRouter
from parrot_adapters.errors import ConfigError
from parrot_adapters.testing import RouterTraits, check_router

pytestmark = pytest.mark.conformance

D, E = 8, 4


def router(**options):
    torch.manual_seed(0)
    return TopKRouter(D, E, **options)


def test_all_experts_is_the_dense_router(batch):
    sparse, dense = router(k=E), TextGuidedRouter(D, E)
    dense.load_state_dict({"gate": sparse.gate.detach()})
    assert_close(sparse(batch()).weights, dense(batch()).weights)


def test_weights_are_those_of_the_plain_logits_over_the_chosen(batch):
    routing = router(k=2)(batch())
    top = routing.logits.topk(2)
    assert (routing.active.sort(-1).values == top.indices.sort(-1).values).all()
    assert_close(routing.weights.gather(-1, top.indices), top.values.softmax(-1))


def test_balance_decides_which_on_the_scale_of_probabilities_and_never_how_much(batch):
    module, steps = router(k=2).eval(), torch.tensor([-300, 250, 0, -100])
    plain = module(batch()).logits
    module.balance_steps.copy_(steps)
    routing = module(batch())
    assert torch.equal(routing.logits, plain)
    for row, active, weights in zip(plain, routing.active, routing.weights, strict=True):
        asked = (row.softmax(-1) + 0.001 * steps).tolist()
        assert set(active.tolist()) == set(sorted(range(E), key=asked.__getitem__)[-2:])
        assert_close(weights[active], row[active].softmax(-1))
    assert any(set(a.topk(2).indices.tolist()) != set(b.tolist()) for a, b in zip(plain, routing.active, strict=True))


def step(module, inputs):
    routing = module(inputs)
    (routing.weights * torch.arange(E)).sum().backward()
    return routing


def test_bias_moves_in_backward_only(batch):
    module = router(k=1).train()
    with torch.no_grad():
        module(batch())
    routing = module(batch())
    assert not module.balance_steps.any()
    routing.weights.sum().backward()
    load = torch.bincount(routing.active.flatten(), minlength=E)
    assert module.balance_steps.tolist() == torch.sign(load.sum() - E * load).tolist()
    before = module.balance_steps.clone()
    module.eval()
    step(module, batch())
    assert torch.equal(module.balance_steps, before)


def test_a_recomputed_pass_counts_once(batch):
    plain, recomputed = router(k=2).train(), router(k=2).train()
    step(plain, batch())
    weights = checkpoint(lambda inputs: recomputed(inputs).weights, batch(), use_reentrant=False)
    (weights * torch.arange(E)).sum().backward()
    assert plain.balance_steps.any()
    assert torch.equal(recomputed.balance_steps, plain.balance_steps)
    assert_close(recomputed.gate.grad, plain.gate.grad)


def test_bias_balances_what_the_gate_does_not(batch):
    """All items want one expert; the bias alone spreads them."""
    module = router(k=1, balance_rate=0.02).train()
    with torch.no_grad():
        module.gate.zero_()
    used = set()
    for seed in range(30):
        used |= set(step(module, batch(seed=seed)).active.flatten().tolist())
    assert used == set(range(E))


def test_rate_zero_keeps_no_state(batch):
    module = router(k=1, balance_rate=0.0).train()
    step(module, batch())
    assert not module.balance_steps.any()


def test_state_is_saved_and_survives_half_precision(batch):
    module = router(k=2).train()
    for seed in range(3):
        step(module, batch(seed=seed))
    again = router(k=2)
    again.load_state_dict(module.state_dict())
    assert torch.equal(again.balance_steps, module.balance_steps)
    assert torch.equal(copy.deepcopy(module).bfloat16().balance_steps, module.balance_steps)


def test_noise_only_in_training_and_only_on_the_choice(batch):
    module = router(k=1, noise=50.0)
    choices = {tuple(module.train()(batch()).active.flatten().tolist()) for _ in range(20)}
    assert len(choices) > 1
    assert len({tuple(module.eval()(batch()).active.flatten().tolist()) for _ in range(5)}) == 1
    assert_close(module.train()(batch()).logits, module.eval()(batch()).logits)


def test_with_noise_it_conforms_as_a_stochastic_router():
    check_router(TopKRouter, RouterTraits(options={"noise": 1.0}, stochastic=True, sparse=True, uses_text=True))


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")  # torch's own, while it traces
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
@pytest.mark.parametrize("backend", late_unless(["eager"], ["eager", "aot_eager"]))
@pytest.mark.few(1)
def test_compiled_training_balances_too(batch, backend):
    torch._dynamo.reset()
    plain, compiled = router(k=1).train(), router(k=1).train()
    for seed in range(2):
        step(plain, batch(seed=seed))
        step(torch.compile(compiled, backend=backend, fullgraph=True), batch(seed=seed))
    torch._dynamo.reset()
    assert plain.balance_steps.any()
    assert torch.equal(compiled.balance_steps, plain.balance_steps)


@pytest.mark.parametrize("options", [{"k": 0}, {"k": 5}, {"k": True}, {"noise": -1.0}, {"balance_rate": -1.0}])
def test_refuses(options):
    with pytest.raises(ConfigError):
        TopKRouter(D, E, **options)


def test_one_expert_needs_no_k():
    assert TopKRouter(D, 1).k == 1


def test_inside_a_layer(batch, align):
    layer = build_layer(AdapterConfig(router="top-k", num_experts=E, expert_hidden_size=4), D)
    inputs = batch()
    assert torch.equal(align(layer, inputs).tokens, inputs.tokens)
