"""Experts inside linear layers against a slow loop over tokens and experts, gradients included."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.testing import assert_close

from parrot_adapters.core import (
    AlignmentLayer,
    GatedLayerExpert,
    LayerExperts,
    MeanSummary,
    Routing,
    UniformRouter,
    keep_top_k,
    offsets_from_lengths,
    token_weights,
)
from parrot_adapters.errors import ConfigError

FEATURES = {"layers.0.attention.q": (6, 4), "layers.0.attention.o": (4, 6), "layers.1.mlp": (6, 9)}
E = 3


def trained(shared_rank: int = 0, experts: int = E) -> LayerExperts:
    made = LayerExperts(FEATURES, experts, 2, shared_rank=shared_rank, layer_scale=1.5).double()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return made


def routing(rows: int, seed: int, abstain: torch.Tensor | None = None) -> Routing:
    logits = torch.randn(rows, E, generator=torch.Generator().manual_seed(seed))
    return Routing(logits.softmax(-1).double(), logits, abstain=abstain)


def loop(experts: LayerExperts, path: str, tokens, item_of_token, chosen: Routing) -> torch.Tensor:
    own, found = experts.at(path), []
    for x, i in zip(tokens, item_of_token, strict=True):
        y = torch.zeros(own.out_features, dtype=tokens.dtype)
        if chosen.abstain is None or not chosen.abstain[i]:
            for e in range(experts.num_experts):
                y = y + chosen.weights[i, e] * (own.compress[e] @ x) @ own.down[e]
            if experts.shared_rank:
                y = y + (own.shared_compress @ x) @ own.shared_down
        found.append(experts.layer_scale * y)
    return torch.stack(found)


@settings(deadline=None, max_examples=30)
@given(
    sizes=st.lists(st.integers(0, 4), min_size=1, max_size=4).filter(any),
    shared_rank=st.sampled_from([0, 1, 3]),
    top_k=st.sampled_from([None, 1, 2]),
    path=st.sampled_from(list(FEATURES)),
    per_token=st.booleans(),
    abstaining=st.booleans(),
    seed=st.integers(0, 99),
)
def test_one_wide_product_is_the_loop(sizes, shared_rank, top_k, path, per_token, abstaining, seed) -> None:
    offsets, total = offsets_from_lengths(torch.tensor(sizes)), sum(sizes)
    rows = total if per_token else len(sizes)
    abstain = torch.arange(rows) % 2 == 1 if abstaining else None
    chosen = routing(rows, seed, abstain)._replace(per_token=per_token)
    chosen = chosen if top_k is None else keep_top_k(chosen, top_k)
    owner = torch.arange(total) if per_token else torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    experts = trained(shared_rank)
    tokens = torch.randn(total, FEATURES[path][0], generator=torch.Generator().manual_seed(seed)).double()
    tokens.requires_grad_()
    leaves = [tokens, *experts.at(path).parameters()]
    fast = experts.at(path)(tokens, experts.units(token_weights(chosen, offsets, total)))
    slow = loop(experts, path, tokens, owner, chosen)
    assert_close(fast, slow)
    slow = slow + 0 * sum(leaf.sum() for leaf in leaves)  # in the graph where every image abstains
    away = torch.randn(fast.shape, generator=torch.Generator().manual_seed(seed + 1)).double()
    for mine, theirs in zip(
        torch.autograd.grad((fast * away).sum(), leaves),
        torch.autograd.grad((slow * away).sum(), leaves, allow_unused=True),
        strict=True,
    ):
        assert_close(mine, torch.zeros_like(mine) if theirs is None else theirs)


def test_it_starts_at_nothing() -> None:
    experts = LayerExperts(FEATURES, E, 2, shared_rank=1)
    offsets = torch.tensor([0, 5])
    units = experts.units(token_weights(routing(1, 0), offsets, 5))
    for path, (width, _) in FEATURES.items():
        added = experts.at(path)(torch.randn(5, width), units)
        assert torch.equal(added, torch.zeros_like(added))
        added.sum().backward()  # it can learn all the same
        assert experts.at(path).down.grad.abs().sum() > 0


def test_where_a_router_abstains_nothing_is_added() -> None:
    experts = trained(shared_rank=2)
    chosen = routing(2, 0, torch.tensor([True, False]))
    units = experts.units(token_weights(chosen, torch.tensor([0, 2, 5]), 5))
    added = experts.at("layers.1.mlp")(torch.randn(5, 6).double(), units)
    assert torch.equal(added[:2], torch.zeros(2, 9).double())
    assert added[2:].abs().min() > 0


@pytest.mark.parametrize("shared_rank", [0, 2])
@pytest.mark.parametrize("weights", [[0.5, 0.2, 0.3], [0.0, 1.0, 0.0]])
def test_constant_weights_make_one_wider_expert(shared_rank: int, weights: list[float]) -> None:
    experts, share = trained(shared_rank), torch.tensor(weights).double()
    wide = experts.folded(share).double()
    assert wide.rank == shared_rank + 2 * sum(w > 0 for w in weights)
    chosen = Routing(share[None], share[None].float())
    one = Routing(torch.ones(1, 1).double(), torch.ones(1, 1))
    offsets = torch.tensor([0, 7])
    for path, (width, _) in FEATURES.items():
        tokens = torch.randn(7, width).double()
        mixture = experts.at(path)(tokens, experts.units(token_weights(chosen, offsets, 7)))
        folded = wide.at(path)(tokens, wide.units(token_weights(one, offsets, 7)))
        assert_close(folded, mixture, rtol=1e-6, atol=1e-6)  # folded weights are written in float32


def test_a_fold_that_forgets_the_shared_expert_is_caught(monkeypatch) -> None:
    folded = LayerExperts.folded

    def forgetful(self, weights):
        wide = folded(self, weights)
        with torch.no_grad():
            for _, own in wide.each():
                own.down[:, : self.shared_rank] = 0
        return wide

    monkeypatch.setattr(LayerExperts, "folded", forgetful)
    with pytest.raises(AssertionError):
        test_constant_weights_make_one_wider_expert(2, [0.5, 0.2, 0.3])


def test_names_are_those_of_the_layers_and_of_no_host_layer() -> None:
    """peft finds layers by the ends of their names; ours end otherwise."""
    experts = LayerExperts({"layers.0.self_attn.q_proj": (4, 4)}, 2, 1, shared_rank=1)
    assert sorted(experts.state_dict()) == [
        f"layers.0.self_attn.q_proj_experts.{name}" for name in ("compress", "down", "shared_compress", "shared_down")
    ]
    assert not any(name.endswith("q_proj") or isinstance(m, nn.Linear) for name, m in experts.named_modules())


@pytest.mark.parametrize(
    ("rank", "options", "said"),
    [(0, {}, "layer_rank=0"), (2, {"shared_rank": -1}, "shared_rank=-1"), (2, {"layer_scale": "2"}, "layer_scale='2'")],
)
def test_impossible_ranks_are_refused(rank: int, options: dict, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        LayerExperts(FEATURES, E, rank, **options)


def test_a_layer_without_experts_at_the_projector_hands_tokens_on() -> None:
    layer = AlignmentLayer(
        summary=MeanSummary(4), router=UniformRouter(4, E), experts=None, num_experts=E, layer_experts=trained()
    )
    tokens = torch.randn(5, 4)
    aligned = layer(
        tokens, torch.tensor([0, 2, 5]), torch.tensor([0, 0]), torch.randn(1, 3, 4), torch.ones(1, 3, dtype=torch.bool)
    )
    assert aligned.tokens is tokens
    assert aligned.routing.weights.shape == (2, E)
    with pytest.raises(ConfigError, match="needs experts"):
        AlignmentLayer(summary=MeanSummary(4), router=UniformRouter(4, E), experts=None, num_experts=E)


@pytest.mark.parametrize("shared_rank", [0, 2])
def test_a_gate_that_reads_the_context(shared_rank: int) -> None:
    """Against the formula, token by token; with the gate at its start it is the plain kind."""
    experts = LayerExperts(
        {"layer": (6, 4)}, E, 2, make=GatedLayerExpert, width=5, shared_rank=shared_rank, layer_scale=1.5
    ).double()
    own, offsets = experts.at("layer"), torch.tensor([0, 2, 5])
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in own.named_parameters():
            if "gate" not in name:
                parameter.copy_(torch.randn(parameter.shape, generator=generator))
    tokens = torch.randn(5, 6, generator=generator).double()
    chosen = routing(2, 0)._replace(context=torch.randn(2, 5, generator=generator).double())
    plain = LayerExperts({"layer": (6, 4)}, E, 2, shared_rank=shared_rank, layer_scale=1.5).double()
    plain.load_state_dict({k: v for k, v in experts.state_dict().items() if "gate" not in k})
    units = plain.units(plain.of_tokens(chosen, offsets, 5))
    assert_close(own(tokens, experts.units(experts.of_tokens(chosen, offsets, 5))), plain.call("layer")(tokens, units))

    with torch.no_grad():
        for name, parameter in own.named_parameters():
            if "gate" in name:
                parameter.copy_(torch.randn(parameter.shape, generator=generator))
    found = own(tokens, experts.units(experts.of_tokens(chosen, offsets, 5)))
    for n, item in enumerate([0, 0, 1, 1, 1]):
        x, c = tokens[n], chosen.context[item]
        wanted = torch.zeros(4).double()
        for e in range(E):
            opened = 2 * (own.gate[e] @ c).sigmoid()
            wanted += chosen.weights[item, e] * (opened * (own.compress[e] @ x)) @ own.down[e]
        if shared_rank:
            wanted += (2 * (own.shared_gate @ c).sigmoid() * (own.shared_compress @ x)) @ own.shared_down
        assert_close(found[n], 1.5 * wanted)
    with pytest.raises(ConfigError, match="this one returns none"):
        experts.of_tokens(routing(2, 0), offsets, 5)
    with pytest.raises(ConfigError, match="cannot be folded"):
        experts.folded(torch.ones(E) / E)


def test_dropout_is_for_training_only() -> None:
    experts = LayerExperts({"layer": (64, 4)}, E, 2, layer_dropout=0.5)
    own = experts.at("layer")
    with torch.no_grad():
        own.down.copy_(torch.randn(own.down.shape))
    tokens = torch.randn(300, 64)
    units = experts.units(
        token_weights(routing(1, 0)._replace(weights=torch.ones(1, E) / E), torch.tensor([0, 300]), 300)
    )
    assert torch.equal(own.eval()(tokens, units), own(tokens, units))
    torch.manual_seed(0)
    one, two = own.train()(tokens, units), own(tokens, units)
    assert not torch.equal(one, two)
    mean = torch.stack([own(tokens[:1].expand(4000, -1), units[:1].expand(4000, -1)).mean(0)]).mean(0)
    assert_close(mean, own.eval()(tokens[:1], units[:1])[0], rtol=0.2, atol=0.2)
    with pytest.raises(ConfigError, match="layer_dropout=1"):
        LayerExperts({"layer": (4, 4)}, E, 2, layer_dropout=1)
