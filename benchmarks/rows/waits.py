"""How often a call waits for the device, the bare host's own waits apart.

On a CPU the device is imagined (`device_waits.py`): what would wait on a GPU is counted. On a GPU torch reports it. A
router's answers are looked at in the first passes on an accelerator only; those looks are left out. Each row has the
most of any phase: a forward pass, of embeddings too, a training step, a prefill in ``generate``, decode steps after.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import torch
from device_waits import OWN, counted_waits
from harness import Options, Row

import parrot_adapters as pa
from parrot_adapters.testing import small_llava

COVERS = ("parrot_adapters/core/", "parrot_adapters/hosts/", "parrot_adapters/adapter/")

IMAGE, TEXT = 299, "text only"
KINDS: dict[str, dict[str, Any]] = {
    "dense": {},
    "top_k=2": {"top_k": 2},
    "router top-k": {"router": "top-k", "router_options": {"k": 2}},
    "per token": {"router": "per-token"},
    "top_k=2, grouped": {"top_k": 2, "expert_options": {"grouped": True}},
    "top_k=2, mlp": {"top_k": 2, "expert": "mlp"},
    "merged": {"expert": "merged"},
    "layers": {"placement": "layers", "layer_rank": 4},
    "both": {"placement": "both", "layer_rank": 4},
}
FIRST_PASSES = "check_values"  # the one function that looks at a router's answers


def batch(device: str) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    words = torch.randint(3, 290, (3, 24), generator=generator)
    ids = torch.cat([words[:, :4], torch.full((3, 16), IMAGE), words[:, 4:]], 1)
    given = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "pixel_values": torch.randn(3, 3, 32, 32)}
    return {name: value.to(device) for name, value in given.items()}


def phases(model: Any, device: str) -> dict[str, Callable[[], object]]:
    given = batch(device)
    text = {name: value[:, 20:] for name, value in given.items() if name != "pixel_values"}
    embeds = model.get_input_embeddings()(given["input_ids"].clamp(max=IMAGE)).detach()
    embedded = {name: value for name, value in given.items() if name != "input_ids"} | {"inputs_embeds": embeds}

    def training_step() -> None:
        model.train()
        model(**given, labels=given["input_ids"]).loss.backward()
        model.eval()

    def generate(steps: int) -> Callable[[], object]:
        return lambda: model.generate(**given, max_new_tokens=steps, min_new_tokens=steps, do_sample=False)

    return {
        "forward": lambda: model(**given),
        "forward of embeddings": lambda: model(**embedded),
        TEXT: lambda: model(**text),
        "training step": training_step,
        "prefill in generate": generate(1),
        "prefill and 7 decode steps": generate(8),
    }


def waits(model: Any, device: str) -> dict[str, Counter[tuple[str, str]]]:
    found = {}
    for phase, run in phases(model, device).items():
        for _ in range(1 if device == "cpu" else 6):
            run()
        with counted_waits(device) as counted:
            run()
        found[phase] = Counter(counted)
    return found


def build(device: str) -> Any:
    text = {"model_type": "qwen2", "vocab_size": 300, "hidden_size": 64, "intermediate_size": 128}
    return small_llava(
        text=text | {"num_hidden_layers": 2, "num_attention_heads": 4},
        vision={"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
        | {"image_size": 32, "patch_size": 8},
        image=IMAGE,
    ).to(device)


def measure(options: Options) -> Iterator[Row]:
    """Two rows for each kind of adapter, then those of a batch whose rows have adapters of their own."""
    model = build(options.device)
    for kind, settings in KINDS.items():
        handle = pa.attach(model, pa.AdapterConfig(num_experts=4, expert_hidden_size=32, **settings))
        yield from most(waits(model, options.device), kind)
        handle.detach()
    for kind in ("dense", "layers"):
        settings = {"num_experts": 4, "expert_hidden_size": 32, **KINDS[kind]}
        handle = pa.attach(model, pa.AdapterConfig(**settings))
        handle.add_adapter("other", pa.AdapterConfig(**settings))
        with handle.adapter_names(["default", "other", None]):
            yield from most(waits(model, options.device), f"rows with two adapters, {kind}", limit=None)
        handle.detach()


def most(found: dict[str, Counter[tuple[str, str]]], kind: str, limit: int | None = 1) -> Iterator[Row]:
    """The rows of one kind."""
    own = {
        phase: {place: n for (whose, place), n in counted.items() if whose == OWN and FIRST_PASSES not in place}
        for phase, counted in found.items()
    }
    pictures = max((places for phase, places in own.items() if phase != TEXT), key=lambda places: sum(places.values()))
    where = ", ".join(f"{place} x{n}" for place, n in sorted(pictures.items()))
    yield Row("waits of a call with pictures", "none", sum(pictures.values()), limit, settings=f"{kind} ({where})")
    yield Row("waits of a call of text", "none", sum(own[TEXT].values()), 0, settings=f"{kind} ({where})")
