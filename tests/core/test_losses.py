"""Auxiliary losses against closed forms."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from parrot_adapters.core import language_supervision_loss, load_balancing_loss, router_z_loss
from parrot_adapters.testing import tensors

quick = settings(max_examples=20, deadline=None, derandomize=True)


@pytest.mark.parametrize("experts", [1, 2, 6])
def test_load_balancing_is_one_when_the_load_is_even(experts):
    assert_close(load_balancing_loss(torch.eye(experts)), torch.tensor(1.0))
    everyone = torch.arange(experts).expand(5, -1)
    assert_close(load_balancing_loss(torch.full((5, experts), 1 / experts), everyone), torch.tensor(1.0))


@pytest.mark.parametrize("experts", [1, 2, 6])
def test_load_balancing_is_the_number_of_experts_when_one_takes_all(experts):
    weights = torch.zeros(7, experts)
    weights[:, 0] = 1
    assert_close(load_balancing_loss(weights), torch.tensor(float(experts)))


@quick
@given(tensors((6, 4)))
def test_load_balancing_lies_between_its_bounds_and_pulls_towards_balance(logits):
    logits = logits.requires_grad_()
    loss = load_balancing_loss(logits.softmax(-1))
    assert 0 < float(loss.detach()) <= 4
    loss.backward()
    favourite = logits.detach().softmax(-1).argmax(-1).bincount(minlength=4).argmax()
    assert logits.grad[:, favourite].sum() >= 0  # descending takes load off the busiest expert


@pytest.mark.parametrize("level", [-3.0, 0.0, 2.0])
def test_router_z_is_the_squared_logsumexp(level):
    assert_close(router_z_loss(torch.full((5, 4), level)), torch.tensor((level + math.log(4)) ** 2))


@quick
@given(tensors((5, 4)))
def test_router_z_is_the_mean_of_squares(logits):
    each = [math.log(sum(map(math.exp, row))) ** 2 for row in logits.tolist()]
    assert_close(router_z_loss(logits), torch.tensor(sum(each) / 5), rtol=1e-4, atol=1e-5)


@quick
@given(tensors((5, 4)), st.lists(st.integers(-1, 3), min_size=5, max_size=5))
def test_language_supervision_is_the_mean_of_known_languages(logits, experts):
    found = language_supervision_loss(logits, torch.tensor(experts))
    known = [-math.log(torch.softmax(logits[i], 0)[e]) for i, e in enumerate(experts) if e >= 0]
    assert_close(found, torch.tensor(sum(known) / len(known) if known else 0.0), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_losses_are_float32_and_zero_for_an_empty_batch(dtype):
    nothing = torch.zeros(0, 4, dtype=dtype, requires_grad=True)
    losses = [
        load_balancing_loss(nothing),
        router_z_loss(nothing),
        language_supervision_loss(nothing, torch.zeros(0, dtype=torch.int64)),
    ]
    assert all(loss.dtype == torch.float32 and loss.item() == 0 and loss.requires_grad for loss in losses)


def test_losses_of_half_precision_are_taken_in_float32():
    half = torch.randn(7, 4, generator=torch.Generator().manual_seed(0)).bfloat16()
    languages = torch.tensor([0, 1, 2, 3, -1, 0, 1])
    for loss in (load_balancing_loss, router_z_loss, lambda logits: language_supervision_loss(logits, languages)):
        assert torch.equal(loss(half), loss(half.float()))
        assert loss(half).dtype == torch.float32
