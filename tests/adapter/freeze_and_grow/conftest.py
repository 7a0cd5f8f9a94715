"""A tiny LLaVA, and adapters for it on disk that do something."""

from __future__ import annotations

import pytest
import torch
from tiny_llava import build_llava, two_prompts

import parrot_adapters as pa


@pytest.fixture(scope="module")
def host():
    return build_llava()


@pytest.fixture(scope="module")
def inputs():
    """Two prompts of one image each."""
    return two_prompts()


@pytest.fixture
def save_adapter(host, tmp_path):
    """``save_adapter(**settings)``: a directory with an adapter whose weights are all random."""

    def save(*, train_projector=False, **settings):
        settings = {"expert_hidden_size": 4, **settings}
        with pa.attach(host, pa.AdapterConfig(**settings), train_projector=train_projector) as handle:
            generator = torch.Generator().manual_seed(1)
            with torch.no_grad():
                for parameter in handle.parameters():
                    parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.5)
            handle.save_pretrained(tmp_path / "source")
        return tmp_path / "source"

    return save
