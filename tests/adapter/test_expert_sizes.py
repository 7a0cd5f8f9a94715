"""Hidden sizes of equal parameter count."""

from __future__ import annotations

import pytest
import torch

import parrot_adapters as pa
from parrot_adapters.adapter.build_layer import build_layer
from parrot_adapters.adapter.expert_sizes import equal_hidden_size, expert_parameters
from parrot_adapters.errors import CheckpointError, ConfigError
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


# --- the size where none is given ----------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [128, 896, 4096, 8192])
@pytest.mark.parametrize(("kind", "rows"), [("swiglu", 3), ("mlp", 2), ("conditioned-swiglu", 4), ("merged", 3)])
def test_experts_are_as_wide_as_their_host_by_default(kind, rows, width):
    with torch.device("meta"):
        bank = build_layer(pa.AdapterConfig(expert=kind, num_experts=2), width).experts
    assert bank.hidden_size == width
    matrices = [p for p in bank.parameters() if p.dim() == 3]
    assert (len(matrices), {tuple(p.shape) for p in matrices}) == (rows, {(2, width, width)})


@pytest.mark.parametrize(("width", "rank"), [(64, 8), (128, 8), (896, 14), (4096, 64), (8192, 64)])
def test_the_default_rank_of_low_rank_experts(width, rank):
    with torch.device("meta"):
        assert build_layer(pa.AdapterConfig(expert="low-rank"), width).experts.hidden_size == rank


@pytest.mark.parametrize("placement", ["projector", "layers", "both"])
def test_the_handle_and_its_files_have_the_number(host, kit, tmp_path, make_host, placement):
    with pa.attach(host, pa.AdapterConfig(num_experts=2, placement=placement)) as handle:
        assert handle.config.expert_hidden_size == 16
        kit.disturb(handle)
        handle.save_pretrained(tmp_path / "adapter")
        weights = kit.weights(handle)
    loaded = pa.load_adapter(make_host(), tmp_path / "adapter")
    assert loaded.config.expert_hidden_size == 16
    assert kit.same(kit.weights(loaded), weights)


def test_a_file_that_says_none_means_what_the_default_once_was(host, kit, tmp_path, make_host):
    with pa.attach(host, pa.AdapterConfig(num_experts=1, expert_hidden_size=4096)) as handle:
        handle.save_pretrained(tmp_path / "adapter")
    kit.edit_config(tmp_path / "adapter", lambda described: described["adapter"].pop("expert_hidden_size"))
    assert pa.load_adapter(make_host(), tmp_path / "adapter").config.expert_hidden_size == 4096
    kit.edit_config(tmp_path / "adapter", lambda described: described["adapter"].update(expert_hidden_size=None))
    with pytest.raises(CheckpointError, match="is no number"):
        pa.load_adapter(make_host(), tmp_path / "adapter")
