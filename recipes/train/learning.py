"""What the recipes share: an adapter that may take over an earlier one, and the run itself."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import parrot_adapters as pa
from parrot_adapters.data import open_data
from parrot_adapters.errors import ConfigError, explain
from parrot_adapters.training import TrainingConfig, TrainingResult, set_trainable, train

__all__ = ["attach_to", "learn"]

HERE = Path(__file__).parent


def attach_to(model: Any, processor: Any, config: TrainingConfig) -> pa.Attachment:
    """Attach a run's adapter, with the projector and module of the adapter that it starts from, where it has them.

    LoRA weights belong to their run: they are not taken over, and a warning says so.

    Args:
        model: the host.
        processor: its processor.
        config: the run.

    Raises:
        ConfigError: the earlier adapter's module is of another kind.
    """
    earlier = None if config.start_from is None else pa.load_adapter(model, config.start_from, processor=processor)
    module, projector = None, False
    if config.start_from is not None and (Path(config.start_from) / "llm_lora").is_dir():
        warnings.warn(f"the LoRA weights in {config.start_from} are not taken over", pa.ParrotWarning, stacklevel=2)
    if earlier is not None:
        projector = earlier.owns_projector
        if earlier.module is not None:
            module = (earlier.config, {name: value.clone() for name, value in earlier.module.state_dict().items()})
        earlier.detach()
    handle = pa.attach(
        model,
        config.adapter,
        processor=processor,
        train_projector=bool(config.train.projector) or projector,
        lora=dict(config.lora) if config.train.language_model == "lora" else None,
    )
    if projector:
        handle.load_projector(config.start_from)
    if module is not None:
        settings, weights = module
        mine, other = handle.config.to_dict(), settings.to_dict()
        if different := [key for key in mine if key != "seed" and mine[key] != other.get(key)]:
            raise ConfigError(
                explain(
                    f"the adapter in {config.start_from} is of another kind.",
                    **{key: f"there {other.get(key)!r}, here {mine[key]!r}" for key in different},
                    to_do="set adapter to what it was made with (adapter_config.json)",
                )
            )
        handle.require_module().load_state_dict(weights)
    return handle


def learn(handle: pa.Attachment, processor: Any, config: TrainingConfig) -> TrainingResult:
    """Freeze by role, open the data, train."""
    set_trainable(handle, config)
    data = open_data(config.data, seed=config.seed, rejects=Path(config.out) / "rejects.jsonl")
    zero = HERE / f"{config.engine.kind}.json"
    deepspeed = json.loads(zero.read_text("utf-8")) if zero.exists() else None
    return train(handle, processor, config, data, deepspeed=deepspeed)
