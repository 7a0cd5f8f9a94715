"""A training step's memory as `parrot plan` has it, and as it is."""

from __future__ import annotations

import tempfile
from typing import Any

import torch
from harness import Options, load_rows

import parrot_adapters as pa
from parrot_adapters.data import DataSettings, SourceSettings
from parrot_adapters.training import TrainingConfig
from parrot_adapters.training.memory_estimate import TensorBytes
from parrot_adapters.training.plan import step_without_weights
from parrot_adapters.training.training_config import BatchSettings, EngineSettings, HostSettings, TrainSettings
from parrot_adapters.training.weightless_host import attach_to_nothing


def planned_and_real(options: Options) -> tuple[float, float, str]:
    """Bytes of a step of an adapter on a frozen host: planned, measured, and of what."""
    rows = load_rows("host")
    model, batch = rows.host(options), rows.inputs(options)
    batch["labels"] = batch["input_ids"].masked_fill(batch["input_ids"] == rows.IMAGE, -100)
    width = model.config.get_text_config().hidden_size
    config = TrainingConfig(
        recipe="retrofit",
        out=tempfile.gettempdir(),
        host=HostSettings("made here", dtype="float32"),
        data=DataSettings((SourceSettings("made here"),)),
        adapter={"expert_hidden_size": 4 * width},
        steps=1,
        train=TrainSettings(adapter=True, projector=False, language_model="frozen"),
        batch=BatchSettings(size=4, per_device=4),
        engine=EngineSettings(device=options.device.partition(":")[0], compute="float32"),
    )
    handle = attach_to_nothing(config, model.config)
    planned = step_without_weights(config, handle, {name: value.cpu() for name, value in batch.items()}).total
    pa.attach(model, pa.AdapterConfig(expert_hidden_size=4 * width))
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained)
    step = one_step(model.train(), batch, optimizer)
    step()  # the optimizer's state is made
    return planned, measured(step, model, optimizer, options), f"adapter on a frozen LLaVA, {options.device}, float32"


def one_step(model: Any, batch: dict[str, Any], optimizer: Any) -> Any:
    def once() -> None:
        optimizer.zero_grad()
        model(**batch).loss.backward()
        optimizer.step()

    return once


def measured(step: Any, model: Any, optimizer: Any, options: Options) -> float:
    """Bytes of tensors alive at the worst moment: CUDA's own count, or a count of tensors."""
    if options.device.startswith("cuda"):
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        step()
        return float(torch.cuda.max_memory_allocated())
    optimizer.zero_grad()
    counter = TensorBytes()
    state = [v for kept in optimizer.state.values() for v in kept.values() if isinstance(v, torch.Tensor)]
    counter.hold([*model.parameters(), *model.buffers(), *state])
    with counter:
        step()
    return float(counter.peak)
