"""What one of several processes holds of a training step, by engine: arithmetic on what one process alone would hold.

The model is documented in ``docs/memory.md``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from parrot_adapters.training.memory_estimate import MemoryOfStep

__all__ = ["shared_among"]

REDUCE_BUCKET = 200_000_000  # elements, as the shipped ZeRO presets (zero2.json, zero3.json) say
LIVE_PARAMETERS = 1_000_000_000  # elements, likewise


def shared_among(
    step: MemoryOfStep, engine: str, processes: int, *, layers: tuple[int, int], compute: str
) -> dict[str, int]:
    """What one of several processes holds, from what one alone would.

    Args:
        step: of one process with its own micro-batch.
        engine: ``engine.kind``.
        processes: how many share the run.
        layers: parameters outside the decoder layers, and in the largest of them.
        compute: ``engine.compute``.
    """
    half = step.trained // 2  # DeepSpeed computes with bfloat16 copies of what trains
    bucket = min(2 * REDUCE_BUCKET, half)
    outside, largest = layers
    width = 2 if compute == "bfloat16" else 4
    parts = {
        "frozen weights": step.frozen,
        "trained weights": step.trained,
        "gradients": step.gradients,
        "optimizer state": step.optimizer,
        "activations": max(step.activations, step.update if engine == "ddp" else step.update // processes),
    }
    if engine == "ddp" and processes > 1:
        parts["communication"] = step.gradients  # buckets as large as the gradients
    if engine == "zero2":
        parts["trained weights"] = half + step.trained // processes
        parts["gradients"] = half // processes
        parts["optimizer state"] = step.optimizer // processes
        parts["communication"] = bucket
    if engine == "zero3":
        parts["frozen weights"] = step.frozen // processes
        parts["trained weights"] = (half + step.trained) // processes
        parts["gradients"] = half // processes
        parts["optimizer state"] = step.optimizer // processes
        # What pictures go through, and the embeddings, stay gathered (training/zero.py); of the rest so much at a time.
        # An output head of its own is counted with them though it need not stay.
        parts["communication"] = bucket + outside * width + min(2 * LIVE_PARAMETERS, step.frozen + half)
    if engine == "fsdp2":
        whole = (step.frozen + step.trained) // processes
        parts["frozen weights"] = step.frozen // processes
        parts["trained weights"] = whole - parts["frozen weights"]
        parts["gradients"] = step.gradients // processes
        parts["optimizer state"] = step.optimizer // processes
        parts["communication"] = (outside + 2 * largest) * width  # the root unit stays gathered, layers come and go
    return parts
