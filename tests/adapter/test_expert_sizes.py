"""Hidden sizes of equal parameter count."""

from __future__ import annotations

import pytest
import torch

from parrot_adapters.adapter.expert_sizes import equal_hidden_size, expert_parameters
from parrot_adapters.errors import ConfigError
from parrot_adapters.plugins import manager

BUILT_IN = ("swiglu", "mlp", "conditioned-swiglu", "shared-swiglu", "merged", "low-rank")


@pytest.mark.parametrize("kind", BUILT_IN)
@pytest.mark.parametrize("experts", [1, 3])
def test_largest_size_within_the_budget(kind, experts):
    size = equal_hidden_size(kind, 16, experts, 5000)
    assert expert_parameters(kind, 16, experts, size) <= 5000 < expert_parameters(kind, 16, experts, size + 1)


def test_counts_what_a_real_bank_has():
    bank = manager.find("expert", "mlp").factory(8, 5, 3)
    assert expert_parameters("mlp", 8, 3, 5) == sum(p.numel() for p in bank.parameters())


def test_six_swiglu_experts_equal_one_of_six_times_the_width():
    assert equal_hidden_size("swiglu", 896, 1, expert_parameters("swiglu", 896, 6, 4096)) == 6 * 4096


def test_options_are_counted():
    plain = equal_hidden_size("shared-swiglu", 16, 4, 20_000, shared_hidden_size=1)
    assert equal_hidden_size("shared-swiglu", 16, 4, 20_000, shared_hidden_size=50) < plain


def test_random_state_is_left_alone():
    before = torch.get_rng_state()
    equal_hidden_size("swiglu", 8, 2, 1000)
    assert torch.equal(torch.get_rng_state(), before)


def test_impossible_budget():
    with pytest.raises(ConfigError, match="at any size"):
        equal_hidden_size("swiglu", 64, 6, 100)
