"""Stage 1, modality alignment: the projector learns to speak the language model's language. Nothing else trains.

    parrot train recipes/train/tiny_cpu-stage1.yaml

No adapter is attached: the host runs its own code throughout, and OUT/adapter holds the projector alone.
"""

from __future__ import annotations

import parrot_adapters as pa
from parrot_adapters.training import TrainingConfig, TrainingResult, load_training_host

from .learning import learn, require_projector_alone

__all__ = ["run"]


def run(config: TrainingConfig) -> TrainingResult:
    """Align the projector."""
    model, processor = load_training_host(config)
    require_projector_alone(model, processor, config)
    handle = pa.attach_projector(model, processor=processor)
    if config.start_from is not None:
        handle.load_projector(config.start_from)
    return learn(handle, processor, config)
