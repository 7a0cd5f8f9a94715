"""What experts inside layers cost at real sizes, against their arithmetic and against peft's LoRA on the same layers.

One linear layer of width 4096 and of 3584, and one decoder layer of width 4096 with experts on q, k, v and o, float32,
one row of 320 positions of which 288 are visual; six experts of rank 8. The decoder layer's MLP, which gets no experts
and would only hide what they cost, is a sixteenth of LLaMA's. Their arithmetic is the bare layer and, beside it, the
bare matrix products of the experts on tokens that lie ready. LoRA is peft's own, of the rank
of all the experts together (48) and of one (8); it runs at every position. A step is forward and backward, the layer's
own weights frozen and its input wanting a gradient, as inside a network. Bytes are what autograd keeps for the backward
pass.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import torch
from harness import Options, Row, compare, rows_of, saved_bytes
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn
from torch.nn.functional import linear

import parrot_adapters as pa
from parrot_adapters.hosts.visual_tokens import VisualTokens
from parrot_adapters.testing import small_llava

COVERS = (
    "parrot_adapters/core/layer_experts.py",
    "parrot_adapters/core/visual_low_rank.py",
    "parrot_adapters/hosts/layer_sites.py",
)

ATTENTION = ["q_proj", "k_proj", "v_proj", "o_proj"]
EXPERTS, RANK = 6, 8
FULL, ONE = f"LoRA, rank {EXPERTS * RANK}", f"LoRA, rank {RANK}"
LIMITS = {
    ("experts", "their arithmetic"): 1.15,
    ("experts", FULL): 1.15,
    ("experts", ONE): None,
    ("experts", "bare"): None,
}
Call = Callable[[], Tensor]


def measure(options: Options) -> Iterator[Row]:
    """Rows of single linear layers, then of a decoder layer."""
    for width in (64,) if options.tiny else (4096, 3584):
        yield from rows(width, ["q_proj"], "one linear layer", options)
    yield from rows(64 if options.tiny else 4096, ATTENTION, "one decoder layer", options)


def rows(width: int, names: list[str], what: str, options: Options) -> Iterator[Row]:
    variants = calls(width, names, options)
    settings = f"{what}, width {width}, {options.device}"
    for kind, step in (("forward", forward), ("forward and backward", backward)):
        found = compare({name: step(call) for name, (call, _) in variants.items()}, options)
        yield from rows_of(found, LIMITS, settings=f"{settings}: {kind}")
    kept = {name: saved_bytes(call, module) for name, (call, module) in variants.items()}
    bare = kept.pop("bare")
    for other, limit in (("their arithmetic", 1.15), (FULL, 1.15), (ONE, None)):
        ratio = (kept["experts"] - bare) / (kept[other] - bare)
        yield Row("experts", other, ratio, limit, settings=f"{settings}: bytes kept beyond the bare layer's")


def calls(width: int, names: list[str], options: Options) -> dict[str, tuple[Call, nn.Module]]:
    """Each variant: one forward pass, and the module whose weights are not counted as kept."""
    host = decoder(width).to(options.device).requires_grad_(False)
    whole = len(names) > 1
    made = {"bare": host, "experts": sharing(host)}
    handle = pa.attach(
        made["experts"],
        pa.AdapterConfig(placement="layers", layer_modules=names, num_experts=EXPERTS, layer_rank=RANK),
    )
    awake(handle.module)
    for name, rank in ((FULL, EXPERTS * RANK), (ONE, RANK)):
        targets = rf".*language_model.*\.({'|'.join(names)})"
        made[name] = get_peft_model(sharing(host), LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=targets))
        awake(made[name])
    visual, total = (8, 12) if options.tiny else (288, 320)
    generator = torch.Generator().manual_seed(0)
    given = torch.randn(1, total, width, generator=generator).to(options.device).requires_grad_()
    shares = torch.rand(visual, 1 + EXPERTS, generator=generator).to(options.device)
    positions = torch.arange(4, 4 + visual, device=options.device)
    turned = host.model.language_model.rotary_emb(given, torch.arange(total, device=options.device)[None])

    def layer_of(model: nn.Module) -> Call:
        base = model.get_base_model() if hasattr(model, "get_base_model") else model
        layer = base.model.language_model.layers[0]
        if not whole:
            return lambda: layer.self_attn.q_proj(given)
        return lambda: first(layer(given, position_embeddings=turned))

    bare, inside = layer_of(host), layer_of(made["experts"])
    running = handle.native_seam.sites.calls
    factors = handle.module.layer_experts.units(shares).detach().requires_grad_()
    low = [experts for _, experts in handle.module.layer_experts.each()]
    ready = given.detach()[0, 4 : 4 + visual].clone().requires_grad_()

    def with_experts() -> Tensor:
        return running.run(VisualTokens(positions, factors, total), inside)

    def arithmetic() -> Tensor:
        made = [
            (linear(ready, own.compress.flatten(0, 1)) * factors) @ own.down.flatten(0, 1) for own in low
        ]  # (N, out) each
        return torch.cat([bare().flatten(), *(each.flatten() for each in made)])

    return {
        "bare": (bare, host),
        "experts": (with_experts, made["experts"]),
        "their arithmetic": (arithmetic, made["experts"]),
        **{name: (layer_of(made[name]), made[name]) for name in (FULL, ONE)},
    }


def forward(call: Call) -> Callable[[], object]:
    def once() -> None:
        with torch.no_grad():
            call()

    return once


def backward(call: Call) -> Callable[[], object]:
    return lambda: call().sum().backward()


def first(output: Any) -> Tensor:
    return output[0] if isinstance(output, tuple) else output


def awake(module: nn.Module) -> None:
    """Trained parameters that do something: no product of zeros is faster than another."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.requires_grad:
                parameter.copy_(0.02 * torch.randn(parameter.shape, generator=generator))


def sharing(host: nn.Module) -> nn.Module:
    """A copy with modules of its own and the very same weights."""
    return copy.deepcopy(host, {id(p): p for p in host.parameters()})


def decoder(width: int) -> nn.Module:
    heads = max(1, width // 128)
    text = {"hidden_size": width, "intermediate_size": 11 * width // 64, "num_hidden_layers": 1}
    return small_llava(text=text | {"num_attention_heads": heads, "num_key_value_heads": heads, "vocab_size": 1000})
