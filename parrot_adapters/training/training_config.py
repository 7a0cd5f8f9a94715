"""What a training run is, as frozen dataclasses: the YAML file's keys are their fields.

    recipe: retrofit            # stage1 | stage2 | retrofit
    out: runs/llava-turkish
    host: {path: llava-hf/llava-1.5-7b-hf, dtype: bfloat16}
    adapter: {expert: conditioned-swiglu, num_experts: 1}
    data: {sources: [{path: train.json, images: pictures}]}

Nothing here imports torch: reading a configuration costs milliseconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from parrot_adapters.data.settings import DataSettings

__all__ = [
    "BatchSettings",
    "CheckpointSettings",
    "EngineSettings",
    "HostSettings",
    "LogSettings",
    "OptimSettings",
    "Role",
    "TrainSettings",
    "TrainingConfig",
]

# Who a parameter belongs to; exactly one role each (see roles.py).
Role = Literal["adapter", "projector", "language_model", "lora", "vision_tower", "embeddings"]


@dataclass(frozen=True)
class HostSettings:
    """The host, as transformers loads it.

    Attributes:
        path: a directory, relative to the configuration file, a Hub name, or ``example:NAME/FILE``.
        dtype: of the host's frozen weights. What trains is kept in float32 and computed under autocast.
        attention: transformers' ``attn_implementation``; None for its choice.
        processor: keyword arguments of the processor, for example ``max_pixels``. They change what the host sees.
    """

    path: str
    dtype: Literal["float32", "bfloat16"] = "bfloat16"
    attention: str | None = None
    processor: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class TrainSettings:
    """What trains, by role; everything else is frozen. None: what the recipe says.

    Attributes:
        adapter: the adapter's module.
        projector: the host's projector.
        language_model: ``"frozen"``, ``"lora"`` (stock peft, with ``lora``) or ``"full"``.
        vision_tower: the whole vision tower.
        embeddings: the input embeddings (and the output head where it is tied); only with ``"full"``.
    """

    adapter: bool | None = None
    projector: bool | None = None
    language_model: Literal["frozen", "lora", "full"] | None = None
    vision_tower: bool = False
    embeddings: bool = False


@dataclass(frozen=True)
class BatchSettings:
    """Batches; gradient accumulation follows from both and the number of processes.

    Attributes:
        size: samples per optimizer step, over all processes.
        per_device: samples per micro-batch.
    """

    size: int = 128
    per_device: int = 8


@dataclass(frozen=True)
class OptimSettings:
    """AdamW, and how its learning rate moves.

    Attributes:
        learning_rate: of every role without its own. None: what the recipe says, 1e-4 for ``retrofit``, whose new
            weights have everything to learn, 1e-3 for ``stage1`` and 2e-5 for ``stage2``, as in the paper.
        learning_rates: by role, for example ``{"lora": 1e-4}``.
        weight_decay: of matrices; vectors (norms, biases), embeddings and routers never decay.
        betas, epsilon: of AdamW.
        schedule: after the warm-up.
        warmup_ratio: share of the steps.
        max_grad_norm: gradients are clipped to it; 0 for no clipping.
    """

    learning_rate: float | None = None
    learning_rates: Mapping[Role, float] = field(default_factory=dict)
    weight_decay: float = 0.0
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = 1e-8
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    warmup_ratio: float = 0.03
    max_grad_norm: float = 1.0


@dataclass(frozen=True)
class EngineSettings:
    """How the run is spread over devices.

    Attributes:
        kind: ``"ddp"`` also stands for a single process; ``"zero2"`` and ``"zero3"`` need DeepSpeed.
        device: ``"auto"`` takes an accelerator if there is one.
        gradient_checkpointing: recompute the language model's activations in the backward pass.
        compute: arithmetic of the forward pass.
        pieces: each micro-batch runs in so many parts, one after the other: less memory, the same samples in each step.
            Last bits differ; so does what looks at a micro-batch as a whole, as the ``load-balancing`` loss does.
    """

    kind: Literal["ddp", "fsdp2", "zero2", "zero3"] = "ddp"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    gradient_checkpointing: bool = False
    compute: Literal["float32", "bfloat16"] = "bfloat16"
    pieces: int = 1


@dataclass(frozen=True)
class CheckpointSettings:
    """Checkpoints hold all that a run needs to go on: weights, optimizer, schedule, random state, data position.

    Attributes:
        every: steps between two.
        keep: newest ones kept.
    """

    every: int = 500
    keep: int = 2


@dataclass(frozen=True)
class LogSettings:
    """What is written while a run goes on.

    Attributes:
        every: steps between two lines of ``metrics.jsonl``.
        tensorboard: also write TensorBoard files.
        progress: draw a progress bar.
        profile: record where time and memory of the first micro-batches go, in ``out/profile``: ``trace.json`` for
            https://ui.perfetto.dev, and a table of adapter against host (``profile.txt``, ``profile.json``). Costs time
            while it records.
    """

    every: int = 1
    tensorboard: bool = False
    progress: bool = True
    profile: bool = False


@dataclass(frozen=True)
class TrainingConfig:
    """Configuration of a whole run.

    Attributes:
        recipe: ``"stage1"`` aligns the projector, no adapter attached; ``"stage2"`` trains projector, adapter and
            language model; ``"retrofit"`` adds an adapter to a host that its authors aligned.
        out: Directory of the run, relative to the working directory. Repeating the command resumes what is there.
        host: Host that is trained on.
        data: Data that is learned from.
        adapter: Fields of :class:`parrot_adapters.AdapterConfig`; None (stage 1, default) for none.
        start_from: Directory of an adapter of an earlier run, whose projector, module and LoRA, as far as it has them,
            are taken over; relative to the working directory, as ``out`` is. None (default) for none.
        seed: Seed of weights, order and sampling (default 0).
        epochs: Number of passes over the mixture (default 1).
        steps: Number of optimizer steps, instead of epochs; None (default) for epochs.
        train: What trains.
        lora: Arguments of ``peft.LoraConfig`` (default none).
        losses: Factors of auxiliary losses by name, for example ``{"load-balancing": 0.01}`` (default none).
        loss_options: Arguments of a loss's factory by the loss's name (default none).
        batch: Sizes of a step and of a micro-batch.
        optim: Settings of optimizer and schedule.
        engine: What the run is computed on and how memory is saved.
        checkpoint: How often checkpoints are written, and how many are kept.
        log: What is logged and shown.
    """

    recipe: Literal["stage1", "stage2", "retrofit"]
    out: str
    host: HostSettings
    data: DataSettings
    adapter: Mapping[str, Any] | None = None
    start_from: str | None = None
    seed: int = 0
    epochs: float = 1.0
    steps: int | None = None
    train: TrainSettings = TrainSettings()
    lora: Mapping[str, Any] = field(default_factory=dict)
    losses: Mapping[str, float] = field(default_factory=dict)
    loss_options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    batch: BatchSettings = BatchSettings()
    optim: OptimSettings = OptimSettings()
    engine: EngineSettings = EngineSettings()
    checkpoint: CheckpointSettings = CheckpointSettings()
    log: LogSettings = LogSettings()
