"""A training run of `parrot train` against a bare PyTorch loop over the same micro-batches: CPU time of each.

The bare loop is what one would write: forward, backward, clipping, AdamW, a schedule, the loss read once a step. The
run has its metrics beside it: loss and tokens by language, routing, gradient norm, guards. Both are timed from one
micro-batch to a later one, so that neither's beginning and end count. The host is a LLaVA of random weights, frozen;
adapter and projector train.
"""

from __future__ import annotations

import copy
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from harness import Options, Row, compare, rows_of
from torch import nn

import parrot_adapters as pa
from parrot_adapters.data import DataSettings, SourceSettings
from parrot_adapters.testing import small_llava
from parrot_adapters.training import TrainingConfig, set_trainable, train
from parrot_adapters.training.parameter_roles import parameter_groups
from parrot_adapters.training.training_config import (
    BatchSettings,
    CheckpointSettings,
    EngineSettings,
    HostSettings,
    LogSettings,
    TrainSettings,
)

COVERS = ("parrot_adapters/training/", "parrot_adapters/adapter/", "parrot_adapters/core/", "parrot_adapters/hosts/")

IMAGE, ROWS, WORDS = 999, 4, 40
LANGUAGES = ("en", "tr", "ru", "zh")


class Micro:
    """Samples of random words behind a picture; micro-batches in order."""

    def __init__(self, side: int, steps: int) -> None:
        generator = torch.Generator().manual_seed(0)
        words = torch.randint(3, 900, (ROWS, WORDS), generator=generator)
        ids = torch.cat([words[:, :4], torch.full((ROWS, side**2), IMAGE), words[:, 4:]], 1)
        labels = ids.masked_fill(ids == IMAGE, -100)
        labels[:, : -WORDS // 2] = -100
        pixels = torch.randn(ROWS, 3, 14 * side, 14 * side, generator=generator)
        self.batch = {
            "input_ids": ids,
            "attention_mask": torch.ones_like(ids),
            "pixel_values": pixels,
            "labels": labels,
        }
        self.steps, self.seen = steps, list[float]()

    def __len__(self) -> int:
        return ROWS * self.steps

    def __getitem__(self, index: int) -> int:
        return index

    def batches(self, micro_batch: int, epoch: int) -> list[list[int]]:
        return [list(range(i, i + micro_batch)) for i in range(0, len(self), micro_batch)]

    def collate(self, samples: list[int]) -> dict[str, Any]:
        self.seen.append(time.process_time())
        named = {"parrot_identities": [str(number) for number in samples], "parrot_languages": list(LANGUAGES)}
        return {name: value.clone() for name, value in self.batch.items()} | named


def measure(options: Options) -> Iterator[Row]:
    """One row, of a host at which the loop's own work shows, and one of a larger host."""
    sizes = ((64, 2, 4),) if options.tiny else ((128, 4, 8), (256, 6, 12))
    for width, layers, side in sizes:
        yield from rows(width, layers, side, 6 if options.tiny else 16, options)


def rows(width: int, layers: int, side: int, steps: int, options: Options) -> Iterator[Row]:
    text = {"model_type": "qwen2", "vocab_size": 1000, "hidden_size": width, "intermediate_size": 3 * width}
    vision = {"hidden_size": 128, "intermediate_size": 256, "image_size": 14 * side, "patch_size": 14}
    bare = small_llava(text=text | {"num_hidden_layers": layers}, vision=vision, image=IMAGE)
    config = TrainingConfig(
        recipe="retrofit",
        out="",
        host=HostSettings("made here", dtype="float32"),
        data=DataSettings((SourceSettings("made here"),)),
        adapter={"expert_hidden_size": width},
        steps=steps,
        train=TrainSettings(adapter=True, projector=True, language_model="frozen"),
        batch=BatchSettings(size=ROWS, per_device=ROWS),
        engine=EngineSettings(device="cpu", compute="float32"),
        checkpoint=CheckpointSettings(every=10**6),
        log=LogSettings(progress=False),
    )
    clock = _Clock()
    runs: dict[str, Callable[[], object]] = {
        "a bare loop": lambda: clock.add(in_a_loop(prepared(bare, config), config)),
        "parrot train": lambda: clock.add(in_a_run(prepared(bare, config), config)),
    }
    found = compare(runs, options, clock=clock)
    parameters = sum(p.numel() for p in bare.parameters()) / 1e6
    settings = f"LLaVA, {parameters:.1f}M parameters, {ROWS} x {side**2 + WORDS} tokens, cpu"
    yield from rows_of(found, {("parrot train", "a bare loop"): 1.05}, settings=settings)


class _Clock:
    """A clock that is set forward by what a run says it took."""

    def __init__(self) -> None:
        self.now = 0.0

    def add(self, seconds: float) -> None:
        self.now += seconds

    def __call__(self) -> float:
        return self.now


def prepared(bare: nn.Module, config: TrainingConfig) -> pa.Attachment:
    handle = pa.attach(copy.deepcopy(bare), config.adapter, train_projector=True)
    set_trainable(handle, config)
    return handle


def in_a_run(handle: pa.Attachment, config: TrainingConfig) -> float:
    data = Micro(_side(handle), config.steps or 0)
    with tempfile.TemporaryDirectory() as out:
        train(handle, None, replace(config, out=str(Path(out) / "run")), data, collator=data.collate)
    return _from_first_to_last(data)


def in_a_loop(handle: pa.Attachment, config: TrainingConfig) -> float:
    model, data = handle.model, Micro(_side(handle), config.steps or 0)
    optimizer = torch.optim.AdamW(parameter_groups(handle, config), lr=1e-3)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (1 + step))
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    model.train()
    for samples in data.batches(ROWS, 0):
        batch = data.collate(samples)
        batch = {name: value for name, value in batch.items() if not name.startswith("parrot_")}
        loss = model(**batch).loss
        loss.backward()
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        loss.item()
    return _from_first_to_last(data)


def _from_first_to_last(data: Micro) -> float:
    """Between the third micro-batch and the last: the first ones find what later ones know."""
    return data.seen[data.steps - 1] - data.seen[2]


def _side(handle: pa.Attachment) -> int:
    vision = handle.model.config.vision_config
    return int(vision.image_size // vision.patch_size)
