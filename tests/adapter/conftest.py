"""A tiny LLaVA, adapters that do something, and two looks at a host: every bit, and every trace."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from reference_checkpoint import FIXTURE
from tiny_llava import IMAGE, TOKENS, build_llava, two_prompts
from torch import Tensor, nn

LORA = {"r": 2, "target_modules": ["q_proj", "v_proj"], "lora_dropout": 0.0}


@pytest.fixture(scope="session")
def make_host() -> Callable[..., Any]:
    """``make_host(width=16, dtype=torch.float32, seed=0)``."""
    return build_llava


@pytest.fixture
def host() -> Any:
    return build_llava()


@pytest.fixture(scope="session")
def inputs() -> dict[str, Tensor]:
    """Two prompts of one image each."""
    return two_prompts()


@pytest.fixture(scope="session")
def small() -> Any:
    """An adapter config for the tiny host."""
    from parrot_adapters import AdapterConfig

    return AdapterConfig(num_experts=3, expert_hidden_size=8, summary="mean")


@pytest.fixture(scope="session")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Host and adapter made from the original checkpoint."""
    from parrot_adapters.original.import_checkpoint import import_reference

    directory = tmp_path_factory.mktemp("imported") / "out"
    import_reference(FIXTURE, directory)
    return directory


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A copy of the original checkpoint that a test may spoil."""
    return Path(shutil.copytree(FIXTURE, tmp_path / "source"))


@pytest.fixture
def full(host: Any, small: Any) -> Any:
    """An attached adapter that owns the projector and LoRA, all of it perturbed."""
    import parrot_adapters as pa

    handle = pa.attach(host, small, train_projector=True, lora=LORA)
    disturb(handle)
    return handle


@pytest.fixture
def saved(tmp_path: Path, small: Any, make_host: Callable[..., Any]) -> Path:
    """A directory with a perturbed adapter: its layer alone."""
    import parrot_adapters as pa

    with pa.attach(make_host(), small) as handle:
        disturb(handle)
        handle.save_pretrained(tmp_path / "adapter")
    return tmp_path / "adapter"


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


class Kit:
    """The helpers above; ``--import-mode=importlib`` has no package to import them from."""

    LORA = LORA
    IMAGE, TOKENS = IMAGE, TOKENS
    disturb = staticmethod(disturb)
    logits = staticmethod(logits)
    bits = staticmethod(bits)
    traces = staticmethod(traces)
    assert_same_bits = staticmethod(assert_same_bits)
    Untouched = Untouched
    edit_config = staticmethod(edit_config)
    edit_weights = staticmethod(edit_weights)


@pytest.fixture(scope="session")
def kit() -> type[Kit]:
    return Kit
