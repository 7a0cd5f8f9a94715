"""A layer for stored weights: what it holds is theirs, uncopied where it is large, and nothing of it is left empty."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn

import parrot_adapters as pa
from parrot_adapters.adapter.build_layer import build_layer
from parrot_adapters.adapter.fitting_layer import fitting_layer
from parrot_adapters.plugins import manager

WIDTH, FEATURES = 16, {"layers.0.q_proj": (16, 16)}
BANKS = sorted(one.name for one in manager.components("expert") if one.built_in)
INSIDE = sorted(one.name for one in manager.components("layer-expert") if one.built_in)
CONFIGS = {
    **{f"expert {name}": {"expert": name} for name in BANKS},
    **{f"layer expert {name}": {"placement": "both", "layer_expert": name} for name in INSIDE},
}


@pytest.mark.parametrize("settings", CONFIGS.values(), ids=CONFIGS)
def test_nothing_is_left_empty(settings):
    """Whatever a built-in bank computes with is a weight, a buffer that is stored, or a plain value."""
    config = pa.AdapterConfig(expert_hidden_size=8, num_experts=2, **settings)
    build = partial(build_layer, config, WIDTH, FEATURES)
    weights = {k: torch.randn_like(v) if v.is_floating_point() else v for k, v in build().state_dict().items()}
    random = torch.get_rng_state()
    made = fitting_layer(build, config, weights, Path("a"))
    assert torch.equal(torch.get_rng_state(), random)
    assert not any(value.is_meta for value in [*made.parameters(), *made.buffers()])
    hidden = [name for part in made.modules() for name, value in vars(part).items() if isinstance(value, torch.Tensor)]
    assert not hidden
    own, fresh = made.state_dict(), build()
    assert all(torch.equal(own[name], value) for name, value in weights.items())
    for name, parameter in fresh.named_parameters():
        assert made.get_parameter(name).requires_grad == parameter.requires_grad
    banks = [name for name in weights if name.startswith(("experts.", "layer_experts."))]
    assert banks
    assert all(own[name].data_ptr() == weights[name].data_ptr() for name in banks), "no copy was made"


class Noisy(nn.Module):
    """Experts of a plugin with a table that is drawn when they are made, and stored nowhere."""

    def __init__(self, width: int, hidden: int, num_experts: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.zeros(num_experts, width))
        self.register_buffer("table", torch.randn(width), persistent=False)

    def forward(self, tokens, offsets, routing):
        return tokens * self.table


def test_experts_of_a_plugin_are_made_in_earnest(request):
    class Plugin:
        @pa.hookimpl
        def register_experts(self, register):
            register("noisy", Noisy)

    name = pa.plugins.register(Plugin(), "noisy")
    request.addfinalizer(lambda: pa.plugins.manager.unregister(name))
    for placement in ("projector", "both"):
        config = pa.AdapterConfig(expert="noisy", expert_hidden_size=8, num_experts=2, placement=placement)
        build = partial(build_layer, config, WIDTH, FEATURES)
        whole = build()
        made = fitting_layer(build, config, whole.state_dict(), Path("a"))
        assert torch.equal(made.experts.table, whole.experts.table)
