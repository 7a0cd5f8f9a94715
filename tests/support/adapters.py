"""A tiny LLaVA, adapters that do something, and two looks at a host: every bit, and every trace."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import parrot_adapters as pa
from parrot_adapters.testing import small_llava
from parrot_adapters.testing.small_host import IMAGE

TOKENS = 4  # of a picture of 8 x 8 pixels
LORA = {"r": 2, "target_modules": ["q_proj", "v_proj"], "lora_dropout": 0.0}


def tiny_host(width: int = 16, dtype: torch.dtype = torch.float32, seed: int = 0) -> Any:
    return small_llava(text={"hidden_size": width}, vision={"image_size": 8}, dtype=dtype, seed=seed)


def two_prompts() -> dict[str, Tensor]:
    """Two prompts of one image each."""
    image = [IMAGE] * TOKENS
    ids = torch.tensor([[11, 12, *image, 13, 14], [15, *image, 16, 17, 18]])
    pixels = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "pixel_values": pixels}


@torch.no_grad()
def save_random_adapter(host: Any, directory: Path, *, train_projector: bool = False, **settings: Any) -> Path:
    """A directory with an adapter for a host, all of its weights random; the settings are those of the config."""
    settings = {"expert_hidden_size": 4, **settings}
    with pa.attach(host, pa.AdapterConfig(**settings), train_projector=train_projector) as handle:
        generator = torch.Generator().manual_seed(1)
        for parameter in handle.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.5)
        handle.save_pretrained(directory)
    return directory


@torch.no_grad()
def disturb(handle: Any, seed: int = 1) -> None:
    """Noise on everything the adapter owns."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in handle.parameters():
        parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator).to(parameter))


@torch.no_grad()
def logits(model: Any, inputs: dict[str, Tensor]) -> Tensor:
    return model(**{k: v.to(model.dtype) if v.is_floating_point() else v for k, v in inputs.items()}).logits


def bits(model: nn.Module) -> dict[str, Tensor]:
    """Every weight and buffer."""
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def traces(model: nn.Module) -> dict[str, Any]:
    """What could be left on a model besides changed weights: modules, hooks, attributes, flags."""
    return {
        name: (
            id(module),
            type(module),
            module.training,
            sorted(vars(module)),
            {key: list(value) for key, value in vars(module).items() if "hooks" in key and isinstance(value, dict)},
            [(key, id(p), p.requires_grad) for key, p in module.named_parameters(recurse=False)],
            id(getattr(module, "_keys_to_ignore_on_save", None)),
        )
        for name, module in model.named_modules()
    }


def assert_same_bits(left: dict[str, Tensor], right: dict[str, Tensor]) -> None:
    assert left.keys() == right.keys()
    different = [k for k in left if left[k].dtype != right[k].dtype or not torch.equal(left[k], right[k])]
    assert not different, f"changed: {different}"


class Untouched:
    """``with Untouched(model): ...``: after the block the model is what it was, bit for bit and trace for trace."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model

    def __enter__(self) -> None:
        self.bits, self.traces = bits(self.model), traces(self.model)

    def __exit__(self, kind: Any, *rest: Any) -> None:
        if kind is None:
            assert_same_bits(bits(self.model), self.bits)
            assert traces(self.model) == self.traces


def edit_config(directory: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change ``adapter_config.json`` in place and mend its checksum, as somebody would who means to."""
    from parrot_adapters.adapter.adapter_files import write_config

    path = directory / "adapter_config.json"
    described = json.loads(path.read_text("utf-8"))
    change(described)
    write_config(described, path)


def edit_weights(
    directory: Path, change: Callable[[dict[str, Tensor]], Any], name: str = "adapter_model.safetensors"
) -> None:
    """Change weights in place and mend their checksum, as somebody would who means to."""
    from safetensors.torch import load_file, save_file

    tensors = {key: value.clone() for key, value in load_file(directory / name).items()}
    change(tensors)
    save_file(tensors, directory / name)
    digest = hashlib.sha256((directory / name).read_bytes()).hexdigest()
    edit_config(directory, lambda described: described["files"].update({name: digest}))


def weights(handle: Any) -> list[Tensor]:
    """Copies of everything the adapter owns."""
    return [parameter.detach().clone() for parameter in handle.parameters()]


def same(one: list[Tensor], other: list[Tensor]) -> bool:
    """Whether two such lists hold the same numbers."""
    return len(one) == len(other) and all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
