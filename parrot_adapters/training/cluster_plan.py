"""What each of several devices would hold, for several numbers of them and every engine, from one planned step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from parrot_adapters.errors import ConfigError
from parrot_adapters.training.config_rules import accumulation_steps
from parrot_adapters.training.shared_memory import shared_among
from parrot_adapters.training.training_config import TrainingConfig

if TYPE_CHECKING:
    from parrot_adapters.training.memory_estimate import MemoryOfStep

__all__ = ["ENGINES", "HEADROOM", "ClusterPlan", "plan_clusters"]

ENGINES = ("ddp", "fsdp2", "zero2", "zero3")
HEADROOM = 2 * 1024**3
"""Bytes of a GPU that are no tensors: its context, and what its allocator cannot use. An estimate, not measured."""


@dataclass(frozen=True)
class ClusterPlan:
    """One of so many devices under one engine.

    Attributes:
        engine: the engine.
        processes: how many devices share the run, one process each.
        accumulation: micro-batches of a process in a step; None where ``batch.size`` cannot be dealt to so many.
        parts: bytes on one device by what they are for.
        fits: whether they and :data:`HEADROOM` fit on a device, the batch can be dealt and the engine takes so many
            processes (``fsdp2``: two or more); None of unknown devices.
    """

    engine: str
    processes: int
    accumulation: int | None
    parts: Mapping[str, int]
    fits: bool | None

    @property
    def total(self) -> int:
        """Bytes at the worst moment."""
        return sum(self.parts.values())


def plan_clusters(
    step: MemoryOfStep, run: TrainingConfig, layers: tuple[int, int], counts: Sequence[int], device: int | None
) -> tuple[ClusterPlan, ...]:
    """Every engine with every number of devices.

    Args:
        step: of one process with its own micro-batch, which is the same for any number of them.
        run: its configuration.
        layers: parameters outside the decoder layers, and in the largest of them.
        counts: numbers of devices.
        device: bytes of memory of one; None where that is unknown.
    """
    found = []
    for count in counts:
        accumulation = _accumulation(run, count)
        for engine in ENGINES:
            parts = shared_among(step, engine, count, layers=layers, compute=run.engine.compute)
            runs = accumulation is not None and (engine, count) != ("fsdp2", 1)  # which parrot train refuses
            fits = None if device is None else runs and sum(parts.values()) + HEADROOM <= device
            found.append(ClusterPlan(engine, count, accumulation, parts, fits))
    return tuple(found)


def _accumulation(run: TrainingConfig, count: int) -> int | None:
    try:
        return accumulation_steps(run, count)
    except ConfigError:
        return None
