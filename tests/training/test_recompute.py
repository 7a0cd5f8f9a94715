"""Recomputing activations changes no gradient, and computes none that nobody needs."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from miniatures import FAMILIES, PROMPTS
from torch.testing import assert_close

import parrot_adapters as pa
from parrot_adapters.training.recompute import recompute_activations


def learning(family: str) -> Any:
    handle = pa.attach(FAMILIES[family].build(), {"num_experts": 2, "expert_hidden_size": 8}, train_projector=True)
    handle.freeze_host()
    handle.model.train()
    return handle


def features_want_gradients(handle: Any, family: str) -> bool:
    """Whether what a frozen tower makes of a picture carries a graph, before the projector."""
    found = []
    tower = handle.parts.module(handle.parts.vision_tower)
    hook = tower.register_forward_hook(lambda module, args, output: found.append(output.last_hidden_state))
    batch = FAMILIES[family].batch(PROMPTS)
    handle.model(**batch, labels=batch["input_ids"]).loss.backward()
    hook.remove()
    return any(tensor.requires_grad for tensor in found)


@pytest.mark.parametrize("family", ["llava", "gemma3", "idefics3"])
def test_a_frozen_tower_has_no_backward_pass(family: str) -> None:
    handle = learning(family)
    recompute_activations(handle.model)
    assert any(getattr(module, "gradient_checkpointing", False) for module in handle.model.modules())
    assert not features_want_gradients(handle, family)


def test_transformers_own_switch_gives_it_one() -> None:
    """The reason for this file; when it fails, transformers has mended it and ``recompute.py`` can go."""
    handle = learning("llava")
    enable = getattr(handle.model, "activation_checkpointing_enable", None)
    if enable is None:
        handle.model.gradient_checkpointing_enable({"use_reentrant": False})
    else:
        enable({"use_reentrant": False})
    assert features_want_gradients(handle, "llava")


@pytest.mark.parametrize("family", ["llava", "qwen2_5_vl", "gemma3"])
def test_gradients_are_the_same(family: str) -> None:
    def gradients(handle: Any) -> dict[str, torch.Tensor]:
        batch = FAMILIES[family].batch(PROMPTS)
        handle.model(**batch, labels=batch["input_ids"]).loss.backward()
        return {name: p.grad for name, p in handle.model.named_parameters() if p.grad is not None}

    kept, recomputed = learning(family), learning(family)
    recompute_activations(recomputed.model)
    expected, found = gradients(kept), gradients(recomputed)
    assert found.keys() == expected.keys() != set()
    for name, gradient in expected.items():
        assert_close(found[name], gradient, rtol=1e-4, atol=1e-6)
