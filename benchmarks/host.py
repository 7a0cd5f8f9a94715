"""What attaching costs a host, against the bare host.  python benchmarks/host.py

A LLaVA of random weights with 256 visual tokens per image: large enough that its own matmuls count, small enough for a
laptop. `decode` is a generation of 32 tokens: the adapter works once, in the prefill, and its hook returns at once on
every other step.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from harness import arguments, compare, report
from transformers import LlavaForConditionalGeneration

import parrot_adapters as pa
from parrot_adapters.testing import small_llava

IMAGE = 999


def build(device: str) -> LlavaForConditionalGeneration:
    text = {"model_type": "qwen2", "vocab_size": 1000, "hidden_size": 384, "intermediate_size": 1024}
    vision = {"hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 4, "num_attention_heads": 4}
    return small_llava(
        text=text | {"num_hidden_layers": 8, "num_attention_heads": 6},
        vision=vision | {"image_size": 224, "patch_size": 14},
        image=IMAGE,
    ).to(device)


def main() -> None:
    options = arguments(__doc__ or "")
    model = build(options.device)
    generator = torch.Generator().manual_seed(0)
    words = torch.randint(3, 900, (4, 40), generator=generator)
    ids = torch.cat([words[:, :4], torch.full((4, 256), IMAGE), words[:, 4:]], 1)
    batch = {
        "input_ids": ids.to(options.device),
        "attention_mask": torch.ones_like(ids).to(options.device),
        "pixel_values": torch.randn(4, 3, 224, 224, generator=generator).to(options.device),
    }
    settings = pa.AdapterConfig(expert_hidden_size=384)

    def forward() -> object:
        with torch.no_grad():
            return model(**batch)

    def decode() -> object:
        return model.generate(**batch, max_new_tokens=32, min_new_tokens=32, do_sample=False)

    rows = []
    for phase, run in (("forward", forward), ("generate 32", decode)):
        variants: dict[str, Callable[[], object]] = {"bare host": run}
        for name, config in {
            "mixture of 6": settings,
            "top_k=2 of 6": pa.AdapterConfig(expert_hidden_size=384, top_k=2),
            "one conditioned": pa.AdapterConfig(expert_hidden_size=384, expert="conditioned-swiglu", num_experts=1),
        }.items():
            variants[name] = attached(model, config, run)
        variants["attached, disabled"] = attached(model, settings, run, disabled=True)
        for name, measured in compare(variants, options).items():
            rows.append({"phase": phase, "variant": name, **measured})
    size = sum(p.numel() for p in model.parameters())
    report("host", {"parameters": size, "batch": 4, "visual tokens": 256, "dtype": "float32"}, rows, options)


def attached(
    model: LlavaForConditionalGeneration, config: pa.AdapterConfig, run: Callable[[], object], *, disabled: bool = False
) -> Callable[[], object]:
    """The same run with an adapter; attaching and detaching are part of the time, a few milliseconds."""
    kept: list[object] = []

    def once() -> object:
        with pa.attach(model, config) as handle:
            if not kept:
                kept.append(handle.module)
            if disabled:
                with handle.disabled():
                    return run()
            return run()

    return once


if __name__ == "__main__":
    main()
