"""A tiny checkpoint made by the original PARROT code, what that code answers, and ways to change a copy of it."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

import parrot_adapters as pa
from support.folders import FIXTURES

FIXTURE = FIXTURES / "parrot_reference_tiny"
EXPECTED = load_file(FIXTURE / "expected.safetensors")
CASES = json.loads((FIXTURE / "expected.json").read_text("utf-8"))
VOCABULARY, VISUAL_TOKENS, IMAGE = 311, 17, 311  # the placeholder is the one row more
PREFIX = "model.moe_model."


def load(directory: Path):
    from transformers import LlavaForConditionalGeneration

    host, info = LlavaForConditionalGeneration.from_pretrained(directory / "host", output_loading_info=True)
    assert not any(info.values()), info
    return pa.load_adapter(host.eval(), directory / "adapter", strict=True)


def expanded(values: list[int], ids: list[int], filler: int) -> torch.Tensor:
    """-200 stands for the whole image: as many placeholders as there are visual tokens."""
    return torch.tensor([[x for v, i in zip(values, ids, strict=True) for x in ([filler] * 17 if i == -200 else [v])]])


def prompt(number: int) -> dict[str, torch.Tensor]:
    ids = CASES[number]["input_ids"]
    ids = expanded(ids, ids, IMAGE)
    pixels = EXPECTED["pixel_values"][number : number + 1]
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "pixel_values": pixels}


def labels(number: int) -> torch.Tensor:
    return expanded(CASES[number]["labels"], CASES[number]["input_ids"], -100)


@torch.no_grad()
def check_oracle(handle, number: int) -> None:
    host, inputs = handle.model, prompt(number)
    aligned: list[torch.Tensor] = []
    hook = handle.module.register_forward_hook(lambda module, args, result: aligned.append(result.tokens))
    with handle.record_routing() as log:
        out = host(**inputs)
    hook.remove()
    projected = host.model.get_image_features(inputs["pixel_values"], return_dict=True).pooler_output[0]
    assert projected.shape == (VISUAL_TOKENS, 48)
    torch.testing.assert_close(projected, EXPECTED[f"{number}.projected"], atol=1e-5, rtol=0)
    torch.testing.assert_close(log[0].weights[0], EXPECTED[f"{number}.routing"], atol=1e-5, rtol=0)
    torch.testing.assert_close(aligned[0], EXPECTED[f"{number}.aligned"], atol=1e-4, rtol=0)
    torch.testing.assert_close(out.logits[0, :, :VOCABULARY], EXPECTED[f"{number}.logits"], atol=1e-4, rtol=0)


def edit(directory: Path, **values) -> None:
    config = json.loads((directory / "config.json").read_text("utf-8")) | values
    (directory / "config.json").write_text(json.dumps({k: v for k, v in config.items() if v != "absent"}))


def shard(directory: Path, pieces: int) -> None:
    """Split ``model.safetensors`` into shards and an index, as original checkpoints come."""
    state = load_file(directory / "model.safetensors")
    names, weight_map = sorted(state), {}
    for i in range(pieces):
        file = f"model-{i + 1:05}-of-{pieces:05}.safetensors"
        mine = names[i::pieces]
        save_file({name: state[name] for name in mine}, directory / file)
        weight_map |= dict.fromkeys(mine, file)
    (directory / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    (directory / "model.safetensors").unlink()
