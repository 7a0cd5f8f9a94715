"""What the recipes share: an adapter that may take over an earlier one, and the run itself."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

import parrot_adapters as pa
from parrot_adapters.data import open_data
from parrot_adapters.errors import ConfigError, explain
from parrot_adapters.training import TrainingConfig, TrainingResult, set_trainable, train

__all__ = ["attach_to", "learn", "require_projector_alone"]

HERE = Path(__file__).parent


def attach_to(model: Any, processor: Any, config: TrainingConfig) -> pa.Attachment:
    """Attach a run's adapter, with all that the adapter it starts from has: projector, module and LoRA.

    What it has and the run does not train stays as it is and is saved again. So the run begins with the very answers
    that the earlier adapter gives. Where the language model trains fully, LoRA is first merged into it: the host that
    the run makes has it, and the new adapter has none. A run without ``adapter`` gets no module: projector and LoRA.

    Args:
        model: the host.
        processor: its processor.
        config: the run.

    Raises:
        ConfigError: the earlier adapter's module or LoRA is of another kind.
    """
    earlier, tuned = _earlier(model, processor, config), config.train.language_model
    lora = dict(config.lora) if tuned == "lora" else earlier.lora
    if tuned != "lora" and lora is not None:
        lora.lora_dropout = 0.0  # it does not train, so nothing is to be dropped out
    if config.adapter is None and earlier.module is None:  # LoRA, or the projector, alone
        handle = pa.attach_projector(model, processor=processor, lora=lora)
    else:
        owned = bool(config.train.projector) or earlier.projector
        handle = pa.attach(model, config.adapter, processor=processor, train_projector=owned, lora=lora)
    if earlier.projector:
        handle.load_projector(str(config.start_from))
    if earlier.lora is not None:
        handle.load_lora(str(config.start_from))
        if tuned == "full":
            handle.merge_lora()
    if earlier.module is not None and earlier.adapter is not None:
        mine, other = handle.config.to_dict(), earlier.adapter.to_dict()
        if different := [key for key in mine if key != "seed" and mine[key] != other.get(key)]:
            raise ConfigError(
                explain(
                    f"the adapter in {config.start_from} is of another kind.",
                    **{key: f"there {other.get(key)!r}, here {mine[key]!r}" for key in different},
                    to_do="set adapter to what it was made with (adapter_config.json)",
                )
            )
        handle.require_module().load_state_dict(earlier.module)
    return handle


def require_projector_alone(model: Any, processor: Any, config: TrainingConfig) -> None:
    """Refuse to start stage 1, which trains and saves a projector alone, from an adapter that has more.

    Raises:
        ConfigError: it has.
    """
    earlier = _earlier(model, processor, config)
    more = {"a module": earlier.module is not None, "LoRA": earlier.lora is not None}
    if found := " and ".join(name for name, there in more.items() if there):
        raise ConfigError(
            explain(
                f"the adapter in {config.start_from} has {found}, which stage1 would drop: it has a projector only.",
                to_do="recipe: retrofit with train: {adapter: false, projector: true} trains its projector and keeps "
                "the rest; or start from what stage 1 made",
            )
        )


def learn(handle: pa.Attachment, processor: Any, config: TrainingConfig) -> TrainingResult:
    """Freeze by role, open the data, train."""
    set_trainable(handle, config)
    data = open_data(config.data, seed=config.seed, rejects=Path(config.out) / "rejects.jsonl")
    zero = HERE / f"{config.engine.kind}.json"
    deepspeed = json.loads(zero.read_text("utf-8")) if zero.exists() else None
    return train(handle, processor, config, data, deepspeed=deepspeed)


@dataclass(frozen=True, eq=False)
class _Earlier:
    """What ``start_from`` has.

    Attributes:
        adapter: its configuration.
        module: the weights of its module.
        projector: whether it owns the projector.
        lora: the ``peft.LoraConfig`` of its LoRA.
    """

    adapter: pa.AdapterConfig | None = None
    module: dict[str, Tensor] | None = None
    projector: bool = False
    lora: Any = None


def _earlier(model: Any, processor: Any, config: TrainingConfig) -> _Earlier:
    """Nothing without ``start_from``. The host is as before."""
    if config.start_from is None:
        return _Earlier()
    with pa.load_adapter(model, config.start_from, processor=processor) as there:
        module = None if there.module is None else there.module.state_dict()
        return _Earlier(
            adapter=there.config,
            module=None if module is None else {name: value.clone() for name, value in module.items()},
            projector=there.owns_projector,
            lora=there.lora_config,
        )
