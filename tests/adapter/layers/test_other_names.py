"""Experts in language models that call their linear layers otherwise: found by declaration, by type, or refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from miniatures import FAMILIES, PROMPTS
from support.layers_by_hand import SlowHost, decode, logits, trained
from support.other_decoders import BY_HAND, IN_LLAVA, llava_with
from support.tiers import late_unless
from torch.testing import assert_close

import parrot_adapters as pa
from parrot_adapters.errors import ConfigError
from parrot_adapters.hosts import linear_layers

STANDARD = ["q_proj", "k_proj", "v_proj", "o_proj"]
FUSED = ["self_attention.query_key_value", "self_attention.dense"]
MEANT = {  # by the default of layer_modules
    "phi3": ["self_attn.o_proj", "self_attn.qkv_proj"],
    "gpt_neox": ["attention.query_key_value", "attention.dense"],
    "phi": ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.dense"],
    "codegen": ["attn.out_proj", "attn.qkv_proj"],
    "qwen2_moe": STANDARD,
    "qwen3_moe": STANDARD,
    "gemma2": STANDARD,
    "gemma4_text": STANDARD,
    "gpt_oss": STANDARD,
    "deepseek_v3": [
        f"self_attn.{name}" for name in ("q_a_proj", "q_b_proj", "kv_a_proj_with_mqa", "kv_b_proj", "o_proj")
    ],
    "qwen3_next": [
        *(f"linear_attn.{name}" for name in ("in_proj_qkvz", "in_proj_ba", "out_proj")),
        *(f"self_attn.{name}" for name in STANDARD),
    ],
    "GPT2": ["attn.c_attn", "attn.c_proj"],
    "Falcon": FUSED,
    "Bloom": FUSED,
    "Mpt": ["attn.Wqkv", "attn.out_proj"],
}
LAYERS = {"placement": "layers", "num_experts": 3, "layer_rank": 2}
FEW = ["phi3", "GPT2", "qwen2_moe"]
FAMILY = FAMILIES["llava"]
INPUTS = FAMILY.batch([PROMPTS[1], PROMPTS[1], PROMPTS[2]], padding="right")
ROUTES_BY_BATCH = ("qwen2_moe", "qwen3_moe", "gpt_oss", "deepseek_v3", "qwen3_next")  # as test_forward says


@pytest.fixture(params=late_unless(FEW, [*IN_LLAVA, *BY_HAND]))
def decoder(request: Any) -> str:
    return request.param


def test_the_default_means_the_attention(decoder: str, tmp_path: Any) -> None:
    host = llava_with(decoder).requires_grad_(False)
    bare = logits(host, INPUTS)
    handle = pa.attach(host, LAYERS)
    assert handle.config.layer_modules == MEANT[decoder]
    assert torch.equal(logits(host, INPUTS), bare)
    trained(handle)
    after = logits(host, INPUTS)
    assert_close(after, SlowHost(llava_with(decoder), handle).logits(INPUTS), rtol=1e-4, atol=1e-4)
    assert (after - bare)[:2].abs().amax((1, 2)).min() > 1e-3
    if decoder not in ROUTES_BY_BATCH:
        assert torch.equal(after[2], bare[2])
    alone = FAMILY.batch([PROMPTS[1]])
    assert_close(decode(host, alone).logits[0], logits(host, alone)[:, -1], rtol=1e-4, atol=1e-4)

    handle.save_pretrained(tmp_path)
    handle.detach()
    assert torch.equal(logits(host, INPUTS), bare)
    again = pa.load_adapter(host, tmp_path)
    assert again.config.layer_modules == MEANT[decoder]
    assert torch.equal(logits(host, INPUTS), after)


def test_text_alone_is_the_bare_host_to_the_bit(decoder: str) -> None:
    host, text = llava_with(decoder).requires_grad_(False), FAMILY.batch([PROMPTS[2]])
    bare = logits(host, text)
    trained(pa.attach(host, LAYERS | {"layer_modules": ["attention", "mlp"]} if decoder not in NO_MLP else LAYERS))
    assert torch.equal(logits(host, text), bare)


NO_MLP = ("qwen3_moe", "gpt_oss")


@pytest.mark.parametrize(
    ("decoder", "names", "meant"),
    [
        ("phi3", ["attention", "mlp"], [*MEANT["phi3"], "mlp.gate_up_proj", "mlp.down_proj"]),
        ("GPT2", ["mlp"], ["mlp.c_fc", "mlp.c_proj"]),
        ("gemma2", ["attention"], [f"self_attn.{name}" for name in ("q_proj", "k_proj", "v_proj", "o_proj")]),
        ("qwen2_moe", ["mlp"], [f"mlp.shared_expert.{name}" for name in ("gate_proj", "up_proj", "down_proj")]),
        ("phi3", ["o_proj", "mlp"], ["o_proj", "mlp.gate_up_proj", "mlp.down_proj"]),
        ("phi3", ["qkv_proj"], ["qkv_proj"]),
    ],
)
def test_words_for_what_each_host_names_in_its_own_way(decoder: str, names: list[str], meant: list[str]) -> None:
    host = llava_with(decoder).requires_grad_(False)
    handle = trained(pa.attach(host, LAYERS | {"layer_modules": names}))
    assert handle.config.layer_modules == meant
    assert_close(logits(host, INPUTS), SlowHost(llava_with(decoder), handle).logits(INPUTS), rtol=1e-4, atol=1e-4)


def test_a_declaration_comes_before_the_type() -> None:
    host = llava_with("phi3")
    declared = {"host_options": {"attention": ["qkv_proj"]}}
    assert pa.attach(host, LAYERS | declared).config.layer_modules == ["self_attn.qkv_proj"]


@pytest.mark.parametrize(
    ("decoder", "options", "said"),
    [
        (
            "phi3",
            {"layer_modules": ["q_proj"]},
            r"q_proj is no linear layer(.|\n)*self_attn.qkv_proj \(2 of 32 -> 64\)",
        ),
        ("qwen3_moe", {"layer_modules": ["mlp"]}, r"mlp is no linear layer(.|\n)*mixture-of-experts"),
        ("qwen3_moe", {"layer_modules": ["gate"]}, r"gate is no linear layer"),
        ("qwen3_next", {"layer_modules": STANDARD[:1], "layers": [0]}, r"q_proj is no linear layer(.|\n)*linear_attn"),
    ],
)
def test_what_fits_nothing_is_refused_with_what_exists(decoder: str, options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        pa.attach(llava_with(decoder), LAYERS | options)


def test_layers_of_another_kind_alone() -> None:
    handle = pa.attach(llava_with("qwen3_next"), LAYERS | {"layers": [0]})
    assert handle.config.layer_modules == MEANT["qwen3_next"][:3]


def test_a_layer_that_is_missed_is_caught(monkeypatch: Any, tmp_path: Any) -> None:
    """Were Conv1D unknown, the second projection of GPT-2 would be left out without a word."""
    own = linear_layers._is_linear
    monkeypatch.setattr(linear_layers, "_is_linear", lambda module: own(module) and getattr(module, "nf", 0) != 96)
    with pytest.raises(AssertionError):
        test_the_default_means_the_attention("GPT2", tmp_path)
