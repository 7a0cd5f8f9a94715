"""A tiny LLaVA, adapters that do something, and two looks at a host: every bit, and every trace."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from support import adapters
from torch import Tensor


@pytest.fixture(scope="session")
def make_host() -> Callable[..., Any]:
    """``make_host(width=16, dtype=torch.float32, seed=0)``."""
    return adapters.tiny_host


@pytest.fixture
def host() -> Any:
    return adapters.tiny_host()


@pytest.fixture(scope="session")
def inputs() -> dict[str, Tensor]:
    """Two prompts of one image each."""
    return adapters.two_prompts()


@pytest.fixture(scope="session")
def small() -> Any:
    """An adapter config for the tiny host."""
    from parrot_adapters import AdapterConfig

    return AdapterConfig(num_experts=3, expert_hidden_size=8, summary="mean")


@pytest.fixture
def full(host: Any, small: Any) -> Any:
    """An attached adapter that owns the projector and LoRA, all of it perturbed."""
    import parrot_adapters as pa

    handle = pa.attach(host, small, train_projector=True, lora=adapters.LORA)
    adapters.disturb(handle)
    return handle


@pytest.fixture
def saved(tmp_path: Path, small: Any, make_host: Callable[..., Any]) -> Path:
    """A directory with a perturbed adapter: its layer alone."""
    import parrot_adapters as pa

    with pa.attach(make_host(), small) as handle:
        adapters.disturb(handle)
        handle.save_pretrained(tmp_path / "adapter")
    return tmp_path / "adapter"


@pytest.fixture
def save_adapter(host: Any, tmp_path: Path) -> Callable[..., Path]:
    """``save_adapter(**settings)``: a directory with an adapter whose weights are all random."""
    return functools.partial(adapters.save_random_adapter, host, tmp_path / "source")


@pytest.fixture(scope="session")
def kit() -> Any:
    """:mod:`support.adapters`."""
    return adapters


@pytest.fixture
def trainer_of(inputs: Any, tmp_path: Path) -> Any:
    """``trainer_of(model, folder, steps)``: a Trainer that teaches a model the two prompts, saving as it goes."""
    import transformers

    ids = inputs["input_ids"]
    batch = {**inputs, "labels": torch.where(torch.arange(ids.shape[1]) > ids.shape[1] - 4, ids, -100)}

    def make(model: Any, folder: str, steps: int, **options: Any) -> Any:
        args = transformers.TrainingArguments(
            str(tmp_path / folder),
            **{"max_steps": steps, "save_steps": 2, "per_device_train_batch_size": 2, "learning_rate": 3e-2, **options},
            lr_scheduler_type="constant",
            report_to=[],
            use_cpu=True,
            remove_unused_columns=False,
            disable_tqdm=True,
            dataloader_pin_memory=False,
            logging_strategy="no",
        )
        data: Any = list(range(16))
        return transformers.Trainer(
            model, args, train_dataset=data, eval_dataset=data[:2], data_collator=lambda rows: dict(batch)
        )

    return make
