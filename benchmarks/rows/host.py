"""What an adapter costs a host, against the bare host with the adapter's layer beside it, and against peft's LoRA.

A LLaVA of random weights (16 million parameters) with 256 visual tokens a picture, four prompts, float32. Prefill is
one forward pass without gradients; a generation is of 32 tokens, and the adapter works once in it, in the prefill; a
step is forward and backward of the loss on every word, with the host frozen. LoRA is peft's own, on the same linear
layers: of the rank of one expert, and of all of them together. X-LoRA is not here: it mixes adapters that were trained
before, so that nothing of it could train beside these.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from harness import Options, Row, compare, rows_of
from peft import LoraConfig, get_peft_model
from torch import nn

import parrot_adapters as pa
from parrot_adapters.testing import small_llava

COVERS = ("parrot_adapters/core/", "parrot_adapters/adapter/", "parrot_adapters/hosts/")

IMAGE, LAYERS = 999, ("q_proj", "k_proj", "v_proj", "o_proj")


def measure(options: Options) -> Iterator[Row]:
    """Rows of a prefill, of a generation and of a training step."""
    model, batch = host(options), inputs(options)
    settings = f"LLaVA, {sum(p.numel() for p in model.parameters()) / 1e6:.0f}M parameters, 4 prompts, {options.device}"
    yield from prefill(model, batch, options, settings)
    yield from generation(model, batch, options, settings)
    yield from step(model, batch, options, settings)


def generation(model: nn.Module, batch: dict[str, Any], options: Options, settings: str) -> Iterator[Row]:
    width = model.config.get_text_config().hidden_size
    configs = {
        "mixture of six": pa.AdapterConfig(expert_hidden_size=width),
        "its top-2": pa.AdapterConfig(expert_hidden_size=width, top_k=2),
        "one conditioned": pa.AdapterConfig(expert="conditioned-swiglu", num_experts=1, expert_hidden_size=width),
    }
    hosts = {"bare": model, **{name: copy.deepcopy(model) for name in configs}, "off": copy.deepcopy(model)}
    for name, config in configs.items():
        pa.attach(hosts[name], config)
    handle, count = pa.attach(hosts["off"], configs["mixture of six"]), 2 if options.tiny else 32

    def generate(host: Any) -> object:
        return host.generate(**batch, max_new_tokens=count, min_new_tokens=count, do_sample=False)

    def off() -> object:
        with handle.disabled():
            return generate(hosts["off"])

    runs: dict[str, Callable[[], object]] = {name: partial(generate, host) for name, host in hosts.items()}
    found = compare({**runs, "off": off}, options)
    limits = {(name, "bare"): None for name in (*configs, "off")}
    yield from rows_of(found, limits, settings=f"{count} tokens; {settings}")


def prefill(model: nn.Module, batch: dict[str, Any], options: Options, settings: str) -> Iterator[Row]:
    width = model.config.get_text_config().hidden_size
    attached = copy.deepcopy(model)
    handle = pa.attach(attached, pa.AdapterConfig(expert_hidden_size=width))
    taken: list[tuple[Any, ...]] = []
    layer = handle.require_module()
    watching = layer.register_forward_pre_hook(lambda _, args, kwargs: taken.append((args, kwargs)), with_kwargs=True)

    def run(which: nn.Module) -> None:
        with torch.no_grad():
            which(**batch)

    run(attached)
    watching.remove()
    arguments, named = taken[0]

    def beside() -> None:
        run(model)
        with torch.no_grad():
            layer(*arguments, **named)

    with torch.no_grad():
        found = compare(
            {"with an adapter": lambda: run(attached), "bare, and the layer alone": beside, "bare": lambda: run(model)},
            options,
        )
    limits = {("with an adapter", "bare, and the layer alone"): 1.15, ("with an adapter", "bare"): None}
    yield from rows_of(found, limits, settings=f"prefill; {settings}")


def step(model: nn.Module, batch: dict[str, Any], options: Options, settings: str) -> Iterator[Row]:
    width = model.config.get_text_config().hidden_size
    configs = {
        "experts in the layers": pa.AdapterConfig(placement="layers", layer_modules=list(LAYERS), layer_rank=8),
        "mixture at the projector": pa.AdapterConfig(expert_hidden_size=width),
    }
    loras = {
        "LoRA, same layers, rank 8": LoraConfig(r=8, target_modules=list(LAYERS)),
        "LoRA, same layers, rank 48": LoraConfig(r=48, target_modules=list(LAYERS)),
        "LoRA on q and v": LoraConfig(r=8, target_modules=["q_proj", "v_proj"]),
        "LoRA on the projector": LoraConfig(r=8, target_modules=r".*multi_modal_projector\.linear_[12]"),
    }
    trained: dict[str, nn.Module] = {}
    for name, config in configs.items():
        trained[name] = copy.deepcopy(model)
        pa.attach(trained[name], config)
    for name, lora in loras.items():
        trained[name] = get_peft_model(copy.deepcopy(model), lora)
    runs = {name: one_step(each.train(), batch) for name, each in trained.items()}
    limits = {
        ("experts in the layers", "LoRA, same layers, rank 8"): 1.15,
        ("experts in the layers", "LoRA, same layers, rank 48"): 1.15,
        ("experts in the layers", "LoRA on q and v"): None,
        ("mixture at the projector", "LoRA on the projector"): None,
        ("mixture at the projector", "LoRA on q and v"): None,
    }
    yield from rows_of(compare(runs, options), limits, settings=f"training step; {settings}")


def one_step(model: nn.Module, batch: dict[str, Any]) -> Callable[[], None]:
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]

    def once() -> None:
        for parameter in trained:
            parameter.grad = None
        model(**batch, labels=batch["input_ids"].masked_fill(batch["input_ids"] == IMAGE, -100)).loss.backward()

    return once


def host(options: Options) -> nn.Module:
    layers = 1 if options.tiny else 8
    text = {"model_type": "qwen2", "vocab_size": 1000, "hidden_size": 384, "intermediate_size": 1024}
    vision = {"hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 4, "num_attention_heads": 4}
    model = small_llava(
        text=text | {"num_hidden_layers": layers, "num_attention_heads": 6},
        vision=vision | {"image_size": 224, "patch_size": 14},
        image=IMAGE,
    )
    return model.to(options.device)


def inputs(options: Options) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(0)
    words = torch.randint(3, 900, (4, 40), generator=generator)
    ids = torch.cat([words[:, :4], torch.full((4, 256), IMAGE), words[:, 4:]], 1)
    batch = {
        "input_ids": ids,
        "attention_mask": torch.ones_like(ids),
        "pixel_values": torch.randn(4, 3, 224, 224, generator=generator),
    }
    return {name: value.to(options.device) for name, value in batch.items()}
