"""Stage 2: projector, adapter and language model learn together, as in the paper; the model fully or by LoRA.

    parrot train recipes/train/parrot-7b-stage2.yaml

With LoRA the host stays what it is, and OUT/adapter holds adapter, projector and LoRA. Where the language model trains
fully there is a new host: the projector becomes its own, OUT/host holds both, and OUT/adapter belongs to it.
"""

from __future__ import annotations

from parrot_adapters.training import TrainingConfig, TrainingResult, load_training_host

from .learning import attach_to, learn

__all__ = ["run"]


def run(config: TrainingConfig) -> TrainingResult:
    """Train all of it."""
    model, processor = load_training_host(config)
    handle = attach_to(model, processor, config)
    if config.train.language_model == "full" and handle.owns_projector:
        handle.merge_projector()
    return learn(handle, processor, config)
