"""What a run would do, told before a GPU is rented: what trains, on what, for how long, and in how much memory.

No weights are loaded. The host is made from its config on the meta device, the adapter is attached to it as a run would
attach it, and one training step runs on tensors without data (``memory_estimate.py``). What several processes share is
arithmetic on top.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from parrot_adapters.errors import ConfigError
from parrot_adapters.training.cluster_plan import ClusterPlan, plan_clusters
from parrot_adapters.training.config_rules import accumulation_steps, learning_rate, with_recipe_defaults
from parrot_adapters.training.data_plan import DataPlan, first_line_and_reason, pieces_of, plan_data
from parrot_adapters.training.layer_plan import LayerPlan, plan_layers
from parrot_adapters.training.padding_estimate import rows_of
from parrot_adapters.training.parameter_roles import ROLES, assign_roles, parameter_groups
from parrot_adapters.training.required_paths import missing_paths
from parrot_adapters.training.shared_memory import shared_among
from parrot_adapters.training.training_config import TrainingConfig

if TYPE_CHECKING:
    from parrot_adapters.adapter.handle import Attachment
    from parrot_adapters.training.memory_estimate import MemoryOfStep

__all__ = [
    "GroupPlan",
    "MemoryPlan",
    "Plan",
    "RolePlan",
    "make_plan",
    "step_without_weights",
]


@dataclass(frozen=True)
class RolePlan:
    """Parameters of one role."""

    role: str
    parameters: int
    trainable: int


@dataclass(frozen=True)
class GroupPlan:
    """A group of the optimizer."""

    role: str
    parameters: int
    learning_rate: float
    weight_decay: float


@dataclass(frozen=True)
class MemoryPlan:
    """Bytes on one device.

    Attributes:
        engine, processes: whose.
        parts: bytes by what they are for.
        batch: the micro-batch of the step, in words.
        arithmetic: the engine's share is computed from sizes rather than from a step.
    """

    engine: str
    processes: int
    parts: Mapping[str, int]
    batch: str
    arithmetic: bool

    @property
    def total(self) -> int:
        """Bytes at the worst moment. A GPU needs more: its context, and what its allocator cannot use."""
        return sum(self.parts.values())


@dataclass(frozen=True)
class Plan:
    """Everything :func:`make_plan` found out.

    Attributes:
        config: with every default filled in.
        host: the model's class.
        roles, groups, data, memory: see there.
        layers: linear layers of the language model that get experts; empty where none do.
        clusters: what each device would hold, by engine and number of devices, as far as that was asked for.
        steps: of the optimizer; None if nothing says how many.
        samples_per_step: the global batch.
        accumulation: micro-batches of a process in a step.
        tokens_per_step: padding left out; from the data if it was read, else at most (``data.max_length``).
        notes: what the numbers rest on, and what could not be found out.
        problems: why ``parrot train`` would refuse this run, or stop in it; empty for a run that can start.
    """

    config: TrainingConfig
    host: str
    roles: tuple[RolePlan, ...]
    groups: tuple[GroupPlan, ...]
    data: DataPlan
    memory: MemoryPlan | None
    steps: int | None
    samples_per_step: int
    accumulation: int
    tokens_per_step: int
    notes: tuple[str, ...]
    problems: tuple[str, ...] = ()
    layers: tuple[LayerPlan, ...] = ()
    clusters: tuple[ClusterPlan, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain data that JSON can hold, with the sums."""
        plain = asdict(self) | {"layer_parameters": sum(group.parameters for group in self.layers)}
        if self.memory is not None:
            plain["memory"]["total"] = self.memory.total
        for one, described in zip(self.clusters, plain["clusters"], strict=True):
            described["total"] = one.total
        return plain


def make_plan(
    run: TrainingConfig,
    *,
    processes: int = 1,
    host_config: Any = None,
    processor: Any = None,
    memory: bool = True,
    counts: Sequence[int] = (),
    device_memory: int | None = None,
) -> Plan:
    """Plan a run.

    Args:
        run: its configuration.
        processes: how many share it.
        host_config: the host's config; None to read it where ``host.path`` says.
        processor: likewise; without one, tokens cannot be counted.
        memory: run the step without weights, too (seconds for a host of 7B).
        counts: numbers of devices to plan for, with every engine (``clusters``).
        device_memory: bytes of memory of one of them; None where that is unknown.

    Raises:
        ConfigError: the host's config cannot be read, or it has nothing of what should train.
        HostError: the host cannot carry an adapter.
    """
    from parrot_adapters.training.weightless_host import attach_to_nothing, read_host_config

    run = with_recipe_defaults(run)
    accumulation = accumulation_steps(run, processes)
    notes: list[str] = []
    if host_config is None:
        host_config = read_host_config(run.host.path)
        processor = processor or _processor(run, notes)
    handle = attach_to_nothing(run, host_config, processor)
    layers = plan_layers(handle, run.optim.learning_rates.get("adapter", learning_rate(run)), notes)
    data, batch = plan_data(run, processor, host_config, notes)
    if data.unusable and run.data.bad_samples == "skip" and data.counted:
        notes.append(f"{_unusable(data)}; data.bad_samples=skip leaves them out")
    per_step = data.tokens if data.tokens is not None else run.data.max_length
    of_step = _step_alone(run, handle, accumulation, batch, data, notes) if memory else None
    return Plan(
        config=run,
        host=type(handle.model).__name__,
        roles=_roles(handle),
        groups=_groups(handle, run),
        layers=layers,
        data=data,
        steps=_steps(run, data),
        samples_per_step=run.batch.size,
        accumulation=accumulation,
        tokens_per_step=round(per_step * run.batch.size),
        memory=None if of_step is None else _memory(run, of_step, processes, notes),
        clusters=() if of_step is None else plan_clusters(of_step.step, run, of_step.layers, counts, device_memory),
        notes=tuple(notes),
        problems=_problems(run, data),
    )


def _unusable(data: DataPlan) -> str:
    looked_at = data.counted + sum(data.unusable.values())
    reasons = ", ".join(f"{count} {reason}" for reason, count in data.unusable.items())
    return f"of {looked_at} samples looked at, training cannot use: {reasons} (see parrot data check)"


def _problems(run: TrainingConfig, data: DataPlan) -> tuple[str, ...]:
    found = [f"{key} does not exist: {path}" for key, path in missing_paths(run).items()]
    if data.problem is not None:
        found.append(f"the data cannot be read: {data.problem}")
    if data.unusable and (run.data.bad_samples == "error" or not data.counted):
        found.append(_unusable(data))
    if data.pictured == 0 and data.whole and run.train.language_model == "frozen":
        found.append(
            f"no sample of {data.samples} shows a picture, and what trains here acts on pictures alone "
            "(see parrot data check; text is learned by a language model that trains: train.language_model=lora)"
        )
    return tuple(found)


# --- what trains -----------------------------------------------------------------------------------------------------


def _roles(handle: Attachment) -> tuple[RolePlan, ...]:
    roles = assign_roles(handle)
    counts = {role: [0, 0] for role in ROLES}
    for name, parameter in handle.model.named_parameters():
        counts[roles[name]][0] += parameter.numel()
        counts[roles[name]][1] += parameter.numel() if parameter.requires_grad else 0
    return tuple(RolePlan(role, *numbers) for role, numbers in counts.items() if numbers[0])


def _groups(handle: Attachment, run: TrainingConfig) -> tuple[GroupPlan, ...]:
    return tuple(
        GroupPlan(group["role"], sum(p.numel() for p in group["params"]), group["lr"], group["weight_decay"])
        for group in parameter_groups(handle, run)
    )


# --- processor and steps ----------------------------------------------------------------------------------------------


def _processor(run: TrainingConfig, notes: list[str]) -> Any:
    from parrot_adapters.hosts.load_host import load_processor

    try:
        return load_processor(run.host.path, run.host.processor)
    except ConfigError as error:
        notes.append(f"no processor: {first_line_and_reason(error)}. Tokens are not counted")
        return None


def _steps(run: TrainingConfig, data: DataPlan) -> int | None:
    if run.steps is not None or data.samples is None:
        return run.steps
    rows = rows_of(run, round(data.tokens) if data.tokens is not None else run.data.max_length)
    micro_batches = math.ceil(data.samples / rows)
    return math.ceil(run.epochs * micro_batches / (run.batch.size // run.batch.per_device))


# --- memory ----------------------------------------------------------------------------------------------------------


class _StepAlone(NamedTuple):
    """A step of one process: what it holds, parameters outside the layers and in the largest, the batch in words."""

    step: MemoryOfStep
    layers: tuple[int, int]
    batch: str


def _memory(run: TrainingConfig, of_step: _StepAlone, processes: int, notes: list[str]) -> MemoryPlan:
    """What one of so many processes holds under the run's engine."""
    kind = run.engine.kind
    parts = shared_among(of_step.step, kind, processes, layers=of_step.layers, compute=run.engine.compute)
    if parts["activations"] and run.engine.device != "cpu":
        notes.append("a GPU needs 1-2 GiB more for its context and its allocator")
    return MemoryPlan(kind, processes, parts, of_step.batch, kind != "ddp" or processes > 1)


def _step_alone(
    run: TrainingConfig,
    handle: Attachment,
    accumulation: int,
    batch: dict[str, Any] | None,
    data: DataPlan,
    notes: list[str],
) -> _StepAlone | None:
    from torch._subclasses.fake_tensor import FakeTensorMode

    from parrot_adapters.data.packing import SEGMENTS
    from parrot_adapters.hosts.packed_rows import packed_arguments
    from parrot_adapters.training.memory_estimate import WithoutWeights, make_fake
    from parrot_adapters.training.weightless_host import imagined_batch, text_batch

    mode = FakeTensorMode(allow_non_fake_inputs=True)
    layers = _layer_sizes(handle)
    rows = pieces_of(run, rows_of(run, data.longest or run.data.max_length))
    described = f"{rows} of the longest of {data.counted} samples, {data.longest} tokens"
    if batch is not None and SEGMENTS in batch:
        segments = batch.pop(SEGMENTS)
        batch = packed_arguments(handle.parts.base, batch, segments)
        samples, (rows, length) = int(segments.max()) + 1, segments.shape
        described = f"{samples} of the longest of {data.counted} samples, packed in {rows} x {length} tokens"
    make_fake(handle.model, mode)
    if run.data.packing:
        notes.append("whether this host keeps packed samples apart is seen when the run begins")
    if batch is None:
        length = run.data.max_length
        described = f"{rows} x {length} tokens, a picture in each"
        with mode, WithoutWeights():
            batch = imagined_batch(handle, rows, length, run.host.processor)
        if batch is None:
            batch, described = text_batch(handle, rows, length), f"{rows} x {length} tokens, without pictures"
            notes.append("this host's pixels are laid out in a way of its own: the step has no pictures in it")
    try:
        together = accumulation * run.engine.pieces
        step = step_without_weights(run, handle, batch, mode=mode, accumulation=together)
    except Exception as error:  # of a host's own code, which may ask for values that are not there
        notes.append(f"memory: this host's step needs its weights ({first_line_and_reason(error)})")
        return None
    return _StepAlone(step, layers, described)


def step_without_weights(
    run: TrainingConfig, handle: Attachment, batch: Mapping[str, Any], *, mode: Any = None, accumulation: int = 1
) -> MemoryOfStep:
    """What one process holds at the worst moment of a step.

    Args:
        run: its configuration.
        handle: on the meta device; of fake weights afterwards (or already, with ``mode``).
        batch: the host's arguments, with labels.
        mode: the ``FakeTensorMode`` of weights that are fake already.
        accumulation: micro-batches of a step. Trainers read them all before the first, and move them one by one.
    """
    import torch
    from torch._subclasses.fake_tensor import FakeTensorMode

    from parrot_adapters.training.memory_estimate import WithoutWeights, make_fake, measure_step
    from parrot_adapters.training.weightless_host import held_beside

    inputs = sum(value.nbytes for value in batch.values() if isinstance(value, torch.Tensor))
    if mode is None:
        mode = FakeTensorMode(allow_non_fake_inputs=True)
        make_fake(handle.model, mode)
    with mode:
        # `foreach` is torch's own choice: on an accelerator it holds another copy of what trains.
        optimizer = torch.optim.AdamW(parameter_groups(handle, run), foreach=run.engine.device != "cpu")
    return measure_step(
        WithoutWeights(),
        handle.model,
        optimizer,
        lambda: handle.model(**batch).loss,
        held=held_beside(handle, run),
        inputs=inputs * (accumulation if run.engine.device == "cpu" else 1),
        accumulates=accumulation > 1,
        compute=getattr(torch, run.engine.compute),
        inside=mode,
    )


def _layer_sizes(handle: Attachment) -> tuple[int, int]:
    """Parameters outside the language model's decoder layers, and in the largest layer."""
    from torch import nn

    language_model = handle.parts.module(handle.parts.language_model)
    stacks = [m for m in language_model.modules() if isinstance(m, nn.ModuleList)] if language_model is not None else []
    sizes = [sum(p.numel() for p in layer.parameters()) for layer in max(stacks, key=len, default=())]
    return sum(p.numel() for p in handle.model.parameters()) - sum(sizes), max(sizes, default=0)
