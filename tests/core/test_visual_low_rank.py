"""The low-rank map by hand against autograd's: values, gradients of all it is made of, and what it keeps."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.testing import assert_close

from parrot_adapters.core import GatedLayerExpert, LayerExpert
from parrot_adapters.core import layer_experts as module


def trained(kind: Any, shared_rank: int, dtype: torch.dtype = torch.float64) -> Any:
    made = kind(6, 4, 3, 2, 5, shared_rank=shared_rank).to(dtype)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return made


def gradients(own: Any, x: Tensor, positions: Tensor, weights: Tensor, context: Tensor, *, by_hand: bool) -> list[Any]:
    x, weights = x.clone().requires_grad_(), weights.clone().requires_grad_()
    own.zero_grad()
    units = own.units(weights, context)
    added = own(x, units, positions) if by_hand else own(x.index_select(0, positions), units)
    added.sin().sum().backward()
    return [added.detach(), x.grad, weights.grad, *(p.grad.clone() for p in own.parameters())]


@settings(deadline=None, max_examples=25)
@given(
    kind=st.sampled_from([LayerExpert, GatedLayerExpert]),
    shared_rank=st.sampled_from([0, 2]),
    positions=st.lists(st.integers(0, 6), unique=True, max_size=7),
)
def test_it_is_what_autograd_does(kind: Any, shared_rank: int, positions: list[int]) -> None:
    own, count = trained(kind, shared_rank), len(positions)
    generator = torch.Generator().manual_seed(1)
    x, weights, context = (
        torch.randn(*shape, dtype=torch.float64, generator=generator) for shape in ((7, 6), (count, 4), (count, 5))
    )
    places = torch.tensor(positions, dtype=torch.int64)
    found = gradients(own, x, places, weights, context, by_hand=True)
    wanted = gradients(own, x, places, weights, context, by_hand=False)
    assert_close(found, wanted)


def test_what_does_not_train_gets_no_gradient() -> None:
    own, x = trained(LayerExpert, 1), torch.randn(7, 6, dtype=torch.float64, requires_grad=True)
    own.down.requires_grad_(False)
    units = own.units(torch.rand(2, 4, dtype=torch.float64), None)
    own(x, units, torch.tensor([4, 1])).sum().backward()
    assert own.down.grad is None
    assert x.grad[[1, 4]].abs().min() > 0
    assert not x.grad[[0, 2, 3, 5, 6]].any()


def kept(own: Any, x: Tensor, units: Tensor, positions: Tensor) -> set[int]:
    """Addresses of what autograd keeps."""
    found = set()

    def pack(tensor: Tensor) -> Tensor:
        found.add(tensor.untyped_storage().data_ptr())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        own(x, units, positions)
    return found


@pytest.mark.parametrize("way", ["by hand", "autocast", "dropout"])
def test_the_input_itself_is_kept_and_no_copy_of_it(way: str) -> None:
    own = trained(LayerExpert, 1, torch.float32).train()
    own.layer_dropout = 0.5 if way == "dropout" else 0.0
    x, positions = torch.randn(7, 6, requires_grad=True), torch.tensor([1, 2, 5])
    units = own.units(torch.rand(3, 4), None)
    with torch.autocast("cpu", torch.bfloat16, enabled=way == "autocast"):
        here = x.untyped_storage().data_ptr() in kept(own, x, units, positions)
    assert here == (way == "by hand")


def test_gradients_that_are_wrong_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    own = module.low_rank_at
    monkeypatch.setattr(
        module, "low_rank_at", lambda given, positions, units, *rest: own(given, positions.flip(0), units, *rest)
    )
    with pytest.raises(AssertionError):
        test_it_is_what_autograd_does()
