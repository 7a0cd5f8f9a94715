"""Routing by declared language: mapping, table, lookup of tags, and abstaining."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import cross_entropy
from torch.testing import assert_close

from parrot_adapters import AdapterConfig, Routing, build_layer
from parrot_adapters.core import AlignmentLayer, LanguageIdRouter, MeanSummary, SwiGLUExperts, find_language
from parrot_adapters.errors import ConfigError, RoutingError
from parrot_adapters.testing import RouterTraits, check_router

pytestmark = pytest.mark.conformance

D, E = 8, 4


def trained_layer(**settings):
    config = AdapterConfig(router="language-id", num_experts=E, expert_hidden_size=4, **settings)
    layer = build_layer(config, D)
    with torch.no_grad():
        layer.experts.down.normal_()
    return layer


def test_each_language_has_its_expert(batch):
    router = LanguageIdRouter(D, E, languages={"en": 3, "tr": 1})
    routing = router(batch(("en", "tr", "tr-TR")))
    assert routing.active.flatten().tolist() == [3, 3, 1, 1]
    assert not routing.abstain.any()
    assert not list(router.parameters())


def test_a_list_is_numbered_in_order_and_around():
    router = LanguageIdRouter(D, 2, languages=["en", "tr", "ar"])
    assert router.languages == {"en": 0, "tr": 1, "ar": 0}


@pytest.mark.parametrize(
    ("tag", "found"),
    [("pt", "pt"), ("pt-PT", "pt"), ("PT_br", "pt-BR"), ("zh-Hant-TW", "zh"), ("ptx", None), (None, None), ("", None)],
)
def test_lookup_of_tags(tag, found):
    assert find_language(tag, ["pt", "pt-BR", "zh"]) == found


def test_a_language_without_region_finds_its_only_region():
    assert find_language("pt", ["en", "pt-BR"]) == "pt-BR"
    assert find_language("pt-PT", ["en", "pt-BR"]) is None
    assert find_language("zh", ["zh-TW", "zh-CN"]) is None


@pytest.mark.parametrize("mode", ["fixed", "table"])
@pytest.mark.parametrize("scales", [{}, {"residual_scale": 0.1}])
def test_unknown_languages_leave_items_as_they_came(batch, align, mode, scales):
    layer, inputs = trained_layer(router_options={"mode": mode}, **scales), batch()
    aligned = align(layer, inputs, ("en", None, "qaa"))
    assert aligned.routing.abstain.tolist() == [False, False, True, True]
    assert torch.equal(aligned.tokens[4:], inputs.tokens[4:])
    assert not torch.isclose(aligned.tokens[:4], inputs.tokens[:4]).all(-1).any()


@pytest.mark.parametrize("languages", [None, (None, None, None)])
def test_without_any_language_nothing_changes(batch, align, languages):
    layer, inputs = trained_layer(residual_scale=0.1), batch()
    assert torch.equal(align(layer, inputs, languages).tokens, inputs.tokens)


def test_abstained_items_send_no_gradient_to_the_experts(batch, align):
    layer, inputs = trained_layer(), batch()
    align(layer, inputs, (None, "en", "en")).tokens[:4].sum().backward()
    assert all(not p.grad.any() for p in layer.parameters())


def test_table_starts_near_the_mapping_and_is_supervised(batch):
    router = LanguageIdRouter(D, E, languages=["en", "tr"], mode="table", supervision=0.5).train()
    routing = router(batch(("en", "tr", None)))
    assert routing.weights.argmax(-1)[:3].tolist() == [0, 0, 1]
    known = routing.logits[:3]
    assert_close(routing.losses["language"], 0.5 * cross_entropy(known, torch.tensor([0, 0, 1])))
    assert_close(routing.weights.sum(-1), torch.ones(4))
    assert router.eval()(batch(("en", "tr", None))).losses is None


def test_table_loss_of_unknown_languages_is_zero(batch):
    router = LanguageIdRouter(D, E, mode="table").train()
    loss = router(batch()).losses["language"]
    assert loss == 0
    loss.backward()
    assert not router.table.grad.any()


def test_language_weights():
    fixed, table = LanguageIdRouter(D, E), LanguageIdRouter(D, E, mode="table")
    assert fixed.language_weights("pt-BR").tolist() == [0, 0, 1, 0]
    assert table.language_weights("pt").argmax() == 2
    assert fixed.language_weights("xx") is None


def test_rows_of_the_table_do_not_depend_on_the_order_of_a_mapping():
    """Files sort the keys of a mapping, and a table that was learned must find its languages again."""
    one = LanguageIdRouter(D, E, languages={"tr": 1, "en": 0, "ar": 2}, mode="table")
    other = LanguageIdRouter(D, E, languages={"ar": 2, "en": 0, "tr": 1}, mode="table")
    with torch.no_grad():
        one.table.copy_(torch.arange(3.0 * E).view(3, E).sin())
    other.load_state_dict(one.state_dict())
    for tag in ("ar", "en", "tr"):
        assert torch.equal(one.language_weights(tag), other.language_weights(tag))


def test_table_conforms():
    traits = RouterTraits(options={"mode": "table"}, needs_languages=True, uses_text=False, stochastic=False)
    check_router(LanguageIdRouter, traits)


@pytest.mark.parametrize(
    "options",
    [{"mode": "fixd"}, {"languages": []}, {"languages": "en"}, {"languages": {"en": 4}}, {"languages": {"en": -1}}],
)
def test_refuses(options):
    with pytest.raises(ConfigError):
        LanguageIdRouter(D, E, **options)


class Abstainer(torch.nn.Module):
    def __init__(self, abstain, rows, per_token=None):
        super().__init__()
        self.abstain, self.rows, self.per_token = abstain, rows, per_token

    def forward(self, inputs):
        logits = torch.zeros(self.rows, 2)
        return Routing(logits.softmax(-1), logits, abstain=self.abstain, per_token=self.per_token)


def layer_of(router):
    experts = SwiGLUExperts(D, 4, 2)
    with torch.no_grad():
        experts.down.normal_()
    return AlignmentLayer(summary=MeanSummary(D), router=router, experts=experts, num_experts=2)


def test_single_tokens_may_be_left_alone(batch, align):
    inputs, abstain = batch(), torch.arange(10) % 3 == 0
    tokens = align(layer_of(Abstainer(abstain, 10, per_token=True)), inputs).tokens
    assert torch.equal((tokens == inputs.tokens).all(-1), abstain)


@pytest.mark.parametrize("abstain", [torch.zeros(4), torch.zeros(3, dtype=torch.bool)])
def test_a_wrong_abstain_is_reported(batch, align, abstain):
    with pytest.raises(RoutingError, match="abstain"):
        align(layer_of(Abstainer(abstain, 4)), batch())
