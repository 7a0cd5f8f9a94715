"""What packing saves: padding, and time of a training step.

Three layouts of the same samples: a row for each (``padded``, `data.packing: false`), rows of similar length
(``grouped``, `data.group_by_length`) and packed rows (``packed``, `data.packing`). Lengths are made up: 64 visual
tokens and a log-normal number of words. A step is forward and backward of every micro-batch of the epoch, with the
adapter trained in a frozen host, so the tokens learned from are the same in all three.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from harness import Options, Row, compare, rows_of
from torch import Tensor
from transformers import LlavaForConditionalGeneration

import parrot_adapters as pa
from parrot_adapters.data.batch_order import cut, padding
from parrot_adapters.data.packing import SEGMENTS, pack
from parrot_adapters.hosts.packed_rows import packed_arguments
from parrot_adapters.testing import small_llava

COVERS = (
    *("parrot_adapters/data/batch_order.py", "parrot_adapters/data/packing.py", "parrot_adapters/core/"),
    *("parrot_adapters/hosts/", "parrot_adapters/adapter/"),
)
IMAGE, PAD, VISUAL, LONGEST = 999, 0, 64, 512
SAMPLES, MICRO_BATCH = 32, 8


def build(device: str) -> LlavaForConditionalGeneration:
    text = {"model_type": "qwen2", "vocab_size": 1000, "hidden_size": 192, "intermediate_size": 512}
    return (
        small_llava(
            text=text | {"num_hidden_layers": 4},
            vision={"hidden_size": 64, "intermediate_size": 128, "image_size": 112, "patch_size": 14},
            image=IMAGE,
        )
        .train()
        .to(device)
    )


def lengths(generator: torch.Generator) -> Tensor:
    """(SAMPLES,) tokens of each sample."""
    words = torch.randn(SAMPLES, generator=generator).mul(0.8).add(4.2).exp().long() + 8
    return (VISUAL + words).clamp(max=LONGEST)


def collate(counts: list[int], generator: torch.Generator) -> dict[str, Tensor]:
    """A row for each sample: words, a picture, words; the second half is learned."""
    size = max(counts)
    ids = torch.randint(3, 900, (len(counts), size), generator=generator)
    ids[:, 2 : 2 + VISUAL] = IMAGE
    here, length = torch.arange(size), torch.tensor(counts)[:, None]
    mask = here < length
    learned = mask & (here >= 2 + VISUAL) & (here >= length // 2)
    return {
        "input_ids": ids.masked_fill(~mask, PAD),
        "attention_mask": mask.long(),
        "labels": ids.masked_fill(~learned, -100),
        "pixel_values": torch.randn(len(counts), 3, 112, 112, generator=generator),
    }


def measure(options: Options) -> Iterator[Row]:
    """Shares of padding, and the time of an epoch."""
    model = build(options.device)
    handle = pa.attach(model, pa.AdapterConfig(expert="conditioned-swiglu", num_experts=1, expert_hidden_size=192))
    counts = lengths(torch.Generator().manual_seed(0))
    order = torch.arange(SAMPLES)
    layouts = {
        "padded": cut(order, MICRO_BATCH),
        "grouped": cut(order, MICRO_BATCH, lengths=counts, group=True),
        "packed": cut(order, MICRO_BATCH, lengths=counts, row=LONGEST),
    }
    settings = f"{SAMPLES} samples of {int(counts.min())} to {int(counts.max())} tokens, micro-batches of {MICRO_BATCH}"
    for name, batches in layouts.items():
        share = padding(batches, counts, row=LONGEST if name == "packed" else None)
        yield Row(f"padding, {name}", "positions", share, settings=settings)

    def epoch(name: str) -> Callable[[], object]:
        generator = torch.Generator().manual_seed(1)
        made = [collate(counts[batch].tolist(), generator) for batch in layouts[name]]
        if name == "packed":
            made = [pack(batch, LONGEST) for batch in made]
            made = [packed_arguments(handle.parts.base, batch, batch.pop(SEGMENTS)) for batch in made]
        made = [{k: v.to(options.device) if isinstance(v, Tensor) else v for k, v in b.items()} for b in made]

        def once() -> None:
            for batch in made:
                model(**batch).loss.backward()
            model.zero_grad()

        return once

    found = compare({name: epoch(name) for name in layouts}, options)
    size = sum(p.numel() for p in model.parameters()) / 1e6
    limits = {("grouped", "padded"): None, ("packed", "padded"): None, ("packed", "grouped"): None}
    yield from rows_of(found, limits, settings=f"an epoch of them, LLaVA, {size:.0f}M parameters, {options.device}")
