"""AdapterConfig: plain, frozen data whose mistakes are named together."""

from __future__ import annotations

import json
import pickle
from dataclasses import FrozenInstanceError, dataclass, fields, replace
from typing import Annotated

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import parrot_adapters as pa
from parrot_adapters.adapter.field_rules import WholeNumber, field_faults, field_rules
from parrot_adapters.errors import ConfigError

NAMES = st.text(min_size=1, max_size=8)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.floats(allow_nan=False, allow_infinity=False) | NAMES,
    lambda inner: st.lists(inner, max_size=3) | st.tuples(inner, inner) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=5,
)
OPTIONS = st.dictionaries(NAMES, PLAIN, max_size=3)
FACTORS = st.floats(-1e6, 1e6) | st.integers(-5, 5)


@st.composite
def configs(draw) -> pa.AdapterConfig:
    num_experts = draw(st.integers(1, 64))
    return pa.AdapterConfig(
        router=draw(NAMES),
        expert=draw(NAMES),
        num_experts=num_experts,
        expert_hidden_size=draw(st.integers(1, 2**16)),
        top_k=draw(st.none() | st.integers(1, num_experts)),
        residual_scale=draw(FACTORS),
        moe_scale=draw(FACTORS),
        summary=draw(NAMES),
        text_scope=draw(st.sampled_from(["first-turn", "reference"])),
        router_options=draw(OPTIONS),
        expert_options=draw(OPTIONS),
        host_options=draw(OPTIONS),
        detector=draw(st.none() | NAMES),
        seed=draw(st.integers(0, 2**63 - 1)),
        layer_rank=draw(st.integers(1, 64)),
        layer_modules=draw(st.lists(st.sampled_from(["q_proj", "o_proj", "mlp.fc1"]), min_size=1, max_size=3)),
        layers=draw(st.just("all") | st.lists(st.integers(0, 40), min_size=1, max_size=4)),
    )


def check_round_trip(there_and_back) -> None:
    @settings(deadline=None, max_examples=40, database=None, phases=(Phase.explicit, Phase.generate))
    @given(configs())
    def holds(config):
        assert there_and_back(config) == config

    holds()


ROADS = {
    "dict": lambda c: pa.AdapterConfig.from_dict(c.to_dict()),
    "JSON": lambda c: pa.AdapterConfig.from_dict(json.loads(json.dumps(c.to_dict()))),
    "pickle": lambda c: pickle.loads(pickle.dumps(c)),
    "replace": lambda c: replace(replace(c, seed=c.seed ^ 1), seed=c.seed),
}


@pytest.mark.parametrize("road", ROADS)
@pytest.mark.few(1)
def test_round_trip(road):
    check_round_trip(ROADS[road])


def test_the_check_bites_when_a_field_is_dropped():
    def forgetful(config):
        values = config.to_dict()
        values.pop("moe_scale")
        return pa.AdapterConfig.from_dict(values)

    with pytest.raises(AssertionError):
        check_round_trip(forgetful)


def test_the_defaults_are_the_contract():
    assert pa.AdapterConfig().to_dict() == {
        "router": "text-guided",
        "expert": "swiglu",
        "num_experts": 6,
        "expert_hidden_size": None,
        "top_k": None,
        "residual_scale": 1.0,
        "moe_scale": 1.0,
        "summary": "auto",
        "text_scope": "first-turn",
        "router_options": {},
        "expert_options": {},
        "host_options": {},
        "detector": None,
        "seed": 0,
    }


def test_settings_of_layers_are_written_where_they_are_set():
    """Earlier releases read what they can run."""
    assert "layers" not in pa.AdapterConfig().to_dict()
    for set_one in ({"placement": "both"}, {"layer_rank": 4}, {"layers": [0]}, {"layer_modules": ["q_proj"]}):
        config = pa.AdapterConfig(**set_one)
        assert config.to_dict()["placement"] == config.placement
        assert pa.AdapterConfig.from_dict(config.to_dict()) == config


@pytest.mark.parametrize("name", [f.name for f in fields(pa.AdapterConfig)])
def test_frozen(name):
    with pytest.raises(FrozenInstanceError):
        setattr(pa.AdapterConfig(), name, 1)


def test_options_are_its_own_copy():
    options = {"frames": {"first": [1, 2]}}
    config = pa.AdapterConfig(router_options=options)
    options["frames"]["first"].append(3)
    assert config.router_options == {"frames": {"first": [1, 2]}}
    config.to_dict()["router_options"]["frames"]["first"].append(4)
    assert config.router_options == {"frames": {"first": [1, 2]}}


@pytest.mark.parametrize("make", [pa.AdapterConfig, lambda **k: pa.AdapterConfig.from_dict(k)], ids=["init", "dict"])
def test_unknown_keys_are_named_together(make):
    with pytest.raises(ConfigError) as caught:
        make(num_expert=3, rooter="x", completely_different=1)
    message = str(caught.value)
    assert "'num_expert'. Did you mean 'num_experts'?" in message
    assert "'rooter'. Did you mean 'router'?" in message
    assert "'completely_different'." in message


def test_replace_rejects_unknown_keys_too():
    with pytest.raises(ConfigError, match="Did you mean 'top_k'"):
        replace(pa.AdapterConfig(), topk=2)


def test_impossible_values_are_named_together():
    with pytest.raises(ConfigError) as caught:
        pa.AdapterConfig(num_experts=0, expert_hidden_size=2.5, router=3, seed="x", text_scope="first_turn")
    message = str(caught.value)
    for part in ("num_experts=0", "expert_hidden_size=2.5", "router=3", "seed='x'", "Did you mean 'first-turn'?"):
        assert part in message


@pytest.mark.parametrize("top_k", [0, -1, 7, 2.0, True, "2"])
def test_top_k_outside_the_experts(top_k):
    with pytest.raises(ConfigError, match="between 1 and num_experts=6"):
        pa.AdapterConfig(top_k=top_k)


@pytest.mark.parametrize("top_k", [None, 1, 6])
def test_top_k_inside(top_k):
    assert pa.AdapterConfig(top_k=top_k).top_k == top_k


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 10**400, "1", None, True])
def test_factors_are_finite_numbers(value):
    with pytest.raises(ConfigError, match="moe_scale"):
        pa.AdapterConfig(moe_scale=value)


@pytest.mark.parametrize("seed", [-1, 2**63, 1.0, True])
def test_seeds_torch_takes(seed):
    with pytest.raises(ConfigError, match="seed"):
        pa.AdapterConfig(seed=seed)


@pytest.mark.parametrize("options", [3, [1], {1: 2}, {"a": {3}}, {"a": float("nan")}, {"a": object()}])
def test_options_are_what_json_can_hold(options):
    with pytest.raises(ConfigError, match="router_options"):
        pa.AdapterConfig(router_options=options)


def test_every_field_says_what_it_may_hold():
    """A field without a rule is never checked, as the double here shows."""

    @dataclass(frozen=True)
    class Unruled:
        loose: int = 0
        held: Annotated[int, WholeNumber(1)] = 1

    assert [name for name, rules in field_rules(pa.AdapterConfig).items() if not rules] == []
    assert [name for name, rules in field_rules(Unruled).items() if not rules] == ["loose"]
    assert field_faults(Unruled("no number", 0)) == ["held=0 must be a whole number of at least 1"]
