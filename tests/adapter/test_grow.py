"""Growing: for every prompt the answer is what it was, and yet the new experts learn from the first step."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.tiers import late_unless
from torch import nn
from torch.testing import assert_close

import parrot_adapters as pa
from parrot_adapters.adapter.grow_experts import grow_adapter, grow_state, verify
from parrot_adapters.adapter.grow_families import grown_router
from parrot_adapters.core import offsets_from_lengths
from parrot_adapters.errors import CheckpointError, ConfigError
from parrot_adapters.testing import RouterTraits, router_checks

pytestmark = pytest.mark.conformance

D = 6
ROUTERS = ("text-guided", "text-guided-qkv", "per-token", "visual-only", "uniform", "frozen")
EXPERTS = ("swiglu", "mlp", "low-rank", "shared-swiglu", "merged", "conditioned-swiglu")
READS_NO_PROMPT = ("visual-only", "uniform", "frozen")


def config_of(router, expert, num_experts=3, **settings):
    options = {"weights": [0.2, 0.5, 0.3][:num_experts]} if router == "frozen" else {}
    return pa.AdapterConfig(
        **{
            "router": router,
            "expert": expert,
            "num_experts": num_experts,
            "expert_hidden_size": 3,
            "router_options": options,
            **settings,
        }
    )


def trained(config, seed=0):
    layer = pa.build_layer(config, D)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return layer.double()


def rebuilt(config, state):
    layer = pa.build_layer(config, D).double()
    layer.load_state_dict(state)
    return layer


def answer(layer, seed=0, languages=None):
    generator = torch.Generator().manual_seed(seed)
    sizes = torch.randint(1, 5, (4,), generator=generator)
    tokens = torch.randn(int(sizes.sum()), D, generator=generator).double()
    text = torch.randn(3, 5, D, generator=generator).double() * 3
    mask = torch.rand(3, 5, generator=generator) > 0.3
    return layer(tokens, offsets_from_lengths(sizes), torch.tensor([0, 0, 1, 2]), text, mask, languages=languages)


@pytest.mark.parametrize("router", ROUTERS)
@settings(deadline=None, max_examples=15)
@given(
    expert=st.sampled_from(EXPERTS),
    steps=st.lists(st.integers(1, 3), min_size=1, max_size=2),
    data=st.data(),
    seed=st.integers(0, 10_000),
    noise=st.sampled_from([0.0, 0.1, 1.0]),
)
def test_every_answer_is_unchanged(router, expert, steps, data, seed, noise):
    if expert == "conditioned-swiglu" and router in READS_NO_PROMPT:
        expert = "swiglu"
    if expert == "merged" and router == "per-token":
        expert = "mlp"
    config = config_of(router, expert)
    old = trained(config, seed)
    state = old.state_dict()
    for number in steps:  # grown things grow again
        experts = st.integers(0, config.num_experts - 1)
        parents = data.draw(st.none() | st.lists(experts, min_size=number, max_size=number))
        config, state = grow_state(config, state, number, parents=parents, noise=noise, seed=seed)
    new = rebuilt(config, state)
    assert new.num_experts == 3 + sum(steps)
    wanted, found = answer(old, seed), answer(new, seed)
    # Routing is float32 whatever the layer's dtype, so weights agree to its rounding.
    scale = wanted.tokens.abs().max().item()
    assert_close(found.tokens, wanted.tokens, rtol=0, atol=2e-5 * scale)
    assert_close(found.routing.weights.sum(-1), torch.ones_like(found.routing.weights[:, 0]))


SPARSE = [("top-k", None), ("text-guided", 2), ("per-token", 1), ("uniform", 2), ("visual-only", 1), ("top-k", 1)]


@pytest.mark.slow
@settings(deadline=None, max_examples=60)
@given(
    case=st.sampled_from(SPARSE),
    expert=st.sampled_from(EXPERTS),
    steps=st.lists(st.integers(1, 4), min_size=1, max_size=3),
    data=st.data(),
    seed=st.integers(0, 10_000),
)
def test_every_answer_of_a_sparse_adapter_is_unchanged(case, expert, steps, data, seed):
    router, top_k = case
    if expert == "conditioned-swiglu" and router in READS_NO_PROMPT:
        expert = "swiglu"
    if expert == "merged" and router == "per-token":
        expert = "mlp"
    config = config_of(router, expert, top_k=top_k)
    old = trained(config, seed)
    state = old.state_dict()
    for number in steps:
        experts = st.integers(0, config.num_experts - 1)
        parents = data.draw(st.none() | st.lists(experts, min_size=number, max_size=number))
        config, state = grow_state(config, state, number, parents=parents, seed=seed)
    new = rebuilt(config, state)
    assert (config.router, config.top_k, new.num_experts) == ("grown", None, 3 + sum(steps))
    wanted, found = answer(old, seed), answer(new, seed)
    assert_close(found.tokens, wanted.tokens, rtol=0, atol=2e-5 * wanted.tokens.abs().max().item())
    family = torch.tensor(new.router.families)
    before, after = wanted.routing.weights.float(), found.routing.weights.float()
    assert_close(torch.zeros_like(before).index_add(1, family, after), before, rtol=1e-5, atol=1e-6)
    if found.routing.active is not None:  # experts of other families are not even run, as far as rows are of one length
        marked = torch.zeros_like(after, dtype=torch.bool).scatter(-1, found.routing.active, True)
        assert not after.masked_fill(marked, 0.0).any()


def test_planted_a_top_k_that_counts_twins_is_caught():
    """What growing did not do before: two twins take both places of k = 2."""
    config = config_of("text-guided", "swiglu", top_k=2)
    old = trained(config)
    state = old.state_dict()
    twins = [0, 1, 2, 0]
    naive = {n: v[twins] if n == "router.gate" or n.startswith("experts.") else v for n, v in state.items()}
    with pytest.raises(CheckpointError, match="does not give the old one's answers"):
        verify(old, rebuilt(config_of("text-guided", "swiglu", 4, top_k=2), naive))
    verify(old, rebuilt(*grow_state(config, state, 1, parents=[0])))


def test_the_router_of_a_sparse_adapter_is_kept_bit_for_bit_and_its_balance_goes_on():
    config = config_of("top-k", "swiglu")
    layer = trained(config)
    layer.router.balance_steps += torch.tensor([3, -1, 2])
    before = {name: value.clone() for name, value in layer.router.state_dict().items()}
    grown = pa.grow(layer, 2, config=config, parents=[0, 2])
    assert grown.router_options["router"] == "top-k"
    assert all(torch.equal(layer.router.inner.state_dict()[name], value) for name, value in before.items())
    layer.train()
    answer(layer).tokens.square().sum().backward()
    assert not torch.equal(layer.router.inner.balance_steps, before["balance_steps"])


def test_twins_of_a_sparse_adapter_part_in_training():
    config = config_of("text-guided", "swiglu", top_k=1)
    layer = trained(config)
    pa.grow(layer, 3, config=config)
    assert not layer.router.members.any()  # shares are even until trained
    (answer(layer).tokens * torch.linspace(-1, 1, D)).square().sum().backward()
    assert layer.router.members.grad.any()
    assert any(not torch.allclose(layer.experts.up.grad[e], layer.experts.up.grad[e + 3]) for e in range(3))
    with torch.no_grad():
        layer.router.members.sub_(layer.router.members.grad)
    shares = answer(layer).routing.weights
    assert_close(shares.sum(-1), torch.ones(4).to(shares))
    assert any(not torch.allclose(shares[:, e], shares[:, e + 3]) for e in range(3))


def test_logits_of_a_grown_router_say_what_its_weights_are():
    """What auxiliary losses read: of a family that is kept, the softmax of its members' logits is their share."""
    config = config_of("top-k", "swiglu", top_k=2)
    layer = trained(config)
    pa.grow(layer, 3, config=config)
    with torch.no_grad():
        layer.router.members.normal_(generator=torch.Generator().manual_seed(0))
    routing = answer(layer).routing
    family = torch.tensor(layer.router.families)
    for number in range(3):
        members = (family == number).nonzero()[:, 0]
        kept = routing.weights[:, members].sum(-1) > 0
        share = routing.weights[kept][:, members] / routing.weights[kept][:, members].sum(-1, keepdim=True)
        assert_close(routing.logits[kept][:, members].softmax(-1), share, rtol=1e-4, atol=1e-5)
    assert routing.active.shape[-1] == 4  # of families of two, two
    rest = torch.ones_like(routing.weights, dtype=torch.bool).scatter(-1, routing.active, False)
    assert not routing.weights[rest].any()


def test_a_family_is_shared_by_what_its_router_read():
    config = config_of("top-k", "swiglu")
    layer, read = trained(config), []
    pa.grow(layer, 3, config=config)
    with torch.no_grad():
        layer.router.members.normal_(generator=torch.Generator().manual_seed(0))
    layer.router.inner.register_forward_hook(lambda module, args, routing: read.append(routing))
    found, logits, *_ = answer(layer).routing
    family, (chosen,) = torch.tensor(layer.router.families), read
    asked = (torch.nn.functional.rms_norm(chosen.context, (D,)) @ layer.router.members.float().T).exp()
    together = torch.zeros(len(asked), 3).index_add(1, family, asked)
    assert_close(found, chosen.weights[:, family] * asked / together[:, family], rtol=1e-4, atol=1e-6)
    for number in range(3):  # and auxiliary losses see the families that the router sees
        assert_close(logits[:, family == number].logsumexp(-1), chosen.logits[:, number], rtol=1e-4, atol=1e-4)


def test_a_plugin_router_that_knows_nothing_of_growing_grows():
    class Squared(nn.Module):
        def __init__(self, width, num_experts, *, power=2.0):
            super().__init__()
            self.gate, self.power = nn.Parameter(torch.randn(num_experts, width)), power

        def forward(self, inputs):
            logits = (inputs.summary.float() @ self.gate.float().T).abs() ** self.power
            return pa.Routing(logits.softmax(-1), logits)

    class Plugin:
        @pa.hookimpl
        def register_routers(self, register):
            register("squared", Squared)

    name = pa.plugins.register(Plugin(), "squared-plugin")
    try:
        config = config_of("squared", "swiglu", router_options={"power": 1.5})
        old = trained(config)
        grown, state = grow_state(config, old.state_dict(), 2, parents=[1, 1])
        assert rebuilt(grown, state).router.inner.power == 1.5
        verify(old, rebuilt(grown, state))
    finally:
        pa.plugins.manager.unregister(name)


@router_checks(RouterTraits(uses_text=True, casts=True))
@pytest.mark.parametrize("router", late_unless(["text-guided"], ["text-guided", "top-k", "per-token"]))
@pytest.mark.few(8)
def test_a_grown_router_passes_every_check(check, router):
    check(lambda width, num_experts: grown_router(width, num_experts, router=router, families=[0, 1, 2, 1]))


def test_a_grown_sparse_adapter_on_disk(host, inputs, save_adapter, tmp_path):
    source = save_adapter(num_experts=3, router="top-k")
    grow_adapter(source, tmp_path / "grown", 2)
    logits = []
    for directory in (source, tmp_path / "grown"):
        with pa.load_adapter(host, directory) as handle, torch.no_grad():
            logits.append(host(**inputs).logits)
            handle.save_pretrained(tmp_path / "again")
    assert_close(logits[1], logits[0], rtol=1e-4, atol=1e-4)
    with pa.load_adapter(host, tmp_path / "again"), torch.no_grad():
        assert torch.equal(host(**inputs).logits, logits[1])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"families": [0, 2]}, "leaving none out"),
        ({"families": [0, 1, 1], "top_k": 3}, "top_k=3"),
        ({"prior": [1.0]}, "prior"),
    ],
)
def test_impossible_families(options, message):
    with pytest.raises(ConfigError, match=message):
        grown_router(D, 3 if "top_k" in options else 2, **options)


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10_000), parents=st.lists(st.integers(0, 2), min_size=1, max_size=4))
def test_families_share_exactly_their_parents_weight(seed, parents):
    config = config_of("text-guided", "swiglu")
    old = trained(config, seed)
    new = rebuilt(*grow_state(config, old.state_dict(), len(parents), parents=parents))
    before, after = answer(old, seed).routing.weights, answer(new, seed).routing.weights
    owner = torch.tensor([0, 1, 2, *parents])
    assert_close(torch.zeros_like(before).index_add(1, owner, after), before, rtol=1e-4, atol=1e-6)


def test_twins_part_in_training():
    config = config_of("text-guided", "swiglu")
    layer = trained(config)
    pa.grow(layer, 1, config=config, parents=[1])
    (answer(layer).tokens * torch.linspace(-1, 1, D)).square().sum().backward()
    gate, up = layer.router.gate.grad, layer.experts.up.grad
    assert gate[1].any()
    assert not torch.allclose(gate[1], gate[3])
    assert not torch.allclose(up[1], up[3])
    assert_close(layer.experts.down.grad[1], layer.experts.down.grad[3])  # the same hidden units, so far


def test_an_untrained_adapter_stays_the_identity():
    config = config_of("text-guided", "swiglu")
    layer = pa.build_layer(config, D).double()
    pa.grow(layer, 2, config=config)
    tokens = answer(layer).tokens
    assert torch.equal(tokens, answer(nn_identity(layer)).tokens)


def nn_identity(layer):
    layer.moe_scale = 0.0
    return layer


@pytest.mark.parametrize("mode", ["fixed", "table"])
@pytest.mark.parametrize("parents", [None, [1]])
def test_new_languages_cannot_touch_old_ones(mode, parents):
    options = {"languages": ["en", "tr", "ar"], "mode": mode}
    config = config_of("language-id", "swiglu", router_options=options)
    old = trained(config)
    grown, state = grow_state(config, old.state_dict(), 1, parents=parents, languages=["th"])
    new = rebuilt(grown, state)
    with torch.no_grad():
        for name in ("gate", "up", "down"):
            getattr(new.experts, name)[3].add_(100.0)  # even trained, it reaches no old language
    for languages in (("en", "tr", "ar"), ("ar", None, "xx")):
        assert_close(answer(new, languages=languages).tokens, answer(old, languages=languages).tokens)
    assert answer(new, languages=("th",) * 3).routing.weights.tolist() == [[0, 0, 0, 1]] * 4
    loss = answer(new, languages=("th", "en", "th")).tokens.square().sum()
    loss.backward()
    assert new.experts.down.grad[3].any()


def test_a_new_language_starts_by_doing_nothing():
    config = config_of("language-id", "swiglu", router_options={"languages": ["en", "tr", "ar"]})
    new = rebuilt(*grow_state(config, trained(config).state_dict(), 1, languages=["th"]))
    assert torch.equal(answer(new, languages=("th",) * 3).tokens, answer(nn_identity(new)).tokens)


def test_on_an_attached_host(host, inputs, tmp_path):
    with pa.attach(host, pa.AdapterConfig(num_experts=2, expert_hidden_size=4)) as handle, torch.no_grad():
        for parameter in handle.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(2)))
        wanted = host(**inputs).logits
        assert pa.grow(handle, 2) == handle.config
        assert handle.config.num_experts == 4
        assert_close(host(**inputs).logits, wanted, rtol=1e-4, atol=1e-4)
        assert all(p.requires_grad for p in handle.parameters())
        handle.save_pretrained(tmp_path / "grown")
        host.save_pretrained(tmp_path / "bare")
    assert not any("parrot" in line for line in (tmp_path / "bare" / "config.json").read_text().splitlines())
    with pa.load_adapter(host, tmp_path / "grown"), torch.no_grad():
        assert_close(host(**inputs).logits, wanted, rtol=1e-4, atol=1e-4)


def test_directories(host, inputs, save_adapter, tmp_path):
    source = save_adapter(num_experts=2)
    grow_adapter(source, tmp_path / "grown", 1, parents=[1], languages=["th"])
    logits = []
    for directory in (source, tmp_path / "grown"):
        with pa.load_adapter(host, directory), torch.no_grad():
            logits.append(host(**inputs).logits)
    assert_close(logits[1], logits[0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_twins_are_moved_apart_where_rounding_lets_them_cancel(dtype):
    """In half precision they stay alike, and training parts them: what would not cancel would change answers."""
    config = config_of("text-guided", "swiglu")
    layer = trained(config).to(dtype)
    before = layer.experts.down.detach().clone()
    pa.grow(layer, 3, config=config)
    old, new = layer.experts.down.detach().split(3)
    assert torch.equal(old, new) == (dtype == torch.bfloat16)
    assert_close((old.float() + new.float()) / 2, before.float())


def test_frozen_flags_and_dtype_are_kept():
    config = config_of("text-guided", "swiglu")
    layer = pa.build_layer(config, D).bfloat16()
    layer.router.requires_grad_(False)
    pa.grow(layer.train(False), 1, config=config)
    assert not layer.router.gate.requires_grad
    assert layer.experts.down.requires_grad
    assert {p.dtype for p in layer.parameters()} == {torch.bfloat16}
    assert not layer.router.training


@pytest.mark.parametrize(
    ("settings", "arguments", "message"),
    [
        ({}, {"num_new": 0}, "num_new=0"),
        ({}, {"num_new": 2, "parents": [1]}, "parents="),
        ({}, {"num_new": 1, "parents": [3]}, "parents="),
        ({}, {"num_new": 1, "languages": "th"}, "languages="),
        ({"router": "language-id"}, {"num_new": 1}, "one new tag"),
        ({"router": "language-id"}, {"num_new": 1, "languages": ["tr"]}, "one new tag"),
    ],
)
def test_refusals(settings, arguments, message):
    config = config_of(**{"router": "text-guided", "expert": "swiglu", **settings})
    with pytest.raises(ConfigError, match=message):
        grow_state(config, pa.build_layer(config, D).state_dict(), **arguments)


def test_a_bank_must_say_what_is_per_expert():
    class Opaque(nn.Module):
        def __init__(self, width, hidden_size, num_experts):
            super().__init__()

    class Plugin:
        @pa.hookimpl
        def register_experts(self, register):
            register("opaque", Opaque)

    name = pa.plugins.register(Plugin(), "opaque-plugin")
    try:
        with pytest.raises(ConfigError, match="per_expert"):
            grow_state(config_of("text-guided", "opaque"), {}, 1)
    finally:
        pa.plugins.manager.unregister(name)


def test_a_bare_layer_needs_its_config():
    with pytest.raises(ConfigError, match="config=config"):
        pa.grow(pa.build_layer(config_of("uniform", "swiglu"), D), 1)


def test_a_grown_adapter_has_no_form_in_reference_checkpoints(host):
    with pa.attach(host, pa.AdapterConfig(num_experts=2, expert_hidden_size=4)) as handle:
        pa.grow(handle, 1)
        with pytest.raises(ConfigError, match="prior"):
            handle.reference_state_dict()


def test_a_bank_that_names_too_little_is_caught():
    config = config_of("text-guided", "swiglu")
    old = trained(config)
    grown, state = grow_state(config, old.state_dict(), 1)
    state["experts.up"][3] += 1.0
    with pytest.raises(CheckpointError, match="does not give the old one's answers"):
        verify(old, rebuilt(grown, state))
