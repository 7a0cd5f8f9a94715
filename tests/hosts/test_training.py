"""Gradients: into the adapter, through the frozen host, and past it nowhere."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from miniatures import PROMPTS, Family
from torch.testing import assert_close

import parrot_adapters as pa


@pytest.fixture
def batch(family: Family) -> dict[str, Any]:
    """Prompts with answers; labels only on the answers."""
    inputs = family.batch([(*prompt, 50, 51) for prompt in PROMPTS])
    labels = inputs["input_ids"].clone()
    labels[:, :-2] = -100
    return inputs | {"labels": labels}


def gradients(handle: pa.Attachment, batch: dict[str, Any]) -> dict[str, torch.Tensor]:
    handle.module.zero_grad()
    handle.model(**batch).loss.backward()
    return {name: p.grad.clone() for name, p in handle.module.named_parameters() if p.grad is not None}


def test_gradients_reach_the_adapter_alone(attached, batch) -> None:
    attached.freeze_host()
    found = gradients(attached, batch)
    names = {name for name, _ in attached.module.named_parameters()}
    assert found.keys() == names
    assert all(gradient.isfinite().all() and gradient.abs().max() > 0 for gradient in found.values())
    mine = {id(p) for p in attached.parameters()}
    assert all(p.grad is None for p in attached.model.parameters() if id(p) not in mine)


def checkpoint_activations(model: Any) -> None:
    """transformers renamed it; both names must work with the versions we support."""
    if hasattr(model, "activation_checkpointing_enable"):
        model.activation_checkpointing_enable({"use_reentrant": False})
    else:
        model.gradient_checkpointing_enable({"use_reentrant": False})


def test_gradient_checkpointing_gives_the_same_gradients(attached, batch) -> None:
    attached.freeze_host()
    attached.model.train()
    expected = gradients(attached, batch)
    checkpoint_activations(attached.model)
    found = gradients(attached, batch)
    assert found.keys() == expected.keys()
    for name, gradient in found.items():
        assert_close(gradient, expected[name], rtol=1e-4, atol=1e-6)


def test_one_step_lowers_the_loss(attached, batch) -> None:
    attached.freeze_host()
    optimizer = torch.optim.SGD(attached.parameters(), lr=0.05)
    first = attached.model(**batch).loss
    first.backward()
    optimizer.step()
    with torch.no_grad():
        assert attached.model(**batch).loss < first


def test_rows_without_images_train_nothing_but_do_not_fail(attached, family: Family) -> None:
    """A text-only batch passes the adapter by; its gradients are None, which DDP must be told (find_unused)."""
    attached.freeze_host()
    inputs = family.batch([PROMPTS[2]])
    loss = attached.model(**inputs, labels=inputs["input_ids"]).loss
    assert loss.isfinite()
