"""A tiny LLaVA, and adapters for it on disk that do something."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import parrot_adapters as pa

IMAGE, TOKENS = 3, 4


def build_llava() -> Any:
    from transformers import CLIPVisionConfig, LlavaConfig, LlavaForConditionalGeneration, Qwen2Config

    vision = CLIPVisionConfig(
        hidden_size=8, intermediate_size=8, num_hidden_layers=2, num_attention_heads=2, image_size=8, patch_size=4
    )
    text = Qwen2Config(
        vocab_size=64,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )
    config = LlavaConfig(vision_config=vision, text_config=text, image_token_index=IMAGE, vision_feature_layer=-2)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return LlavaForConditionalGeneration(config).eval()


@pytest.fixture(scope="module")
def host():
    return build_llava()


@pytest.fixture(scope="module")
def inputs():
    """Two prompts of one image each."""
    ids = torch.tensor([[11, 12, *[IMAGE] * TOKENS, 13, 14], [15, *[IMAGE] * TOKENS, 16, 17, 18]])
    pixels = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "pixel_values": pixels}


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
