"""Retrofit: an adapter for a host that its authors have aligned; projector and LoRA on request. The common case.

    parrot train recipes/train/tiny_cpu.yaml
    parrot train recipes/train/qwen2.5-vl-3b.yaml data.sources.0.path=my.json out=runs/mine

Whatever the adapter does not own is frozen and stays the host's; OUT/adapter holds what trained.
"""

from __future__ import annotations

from parrot_adapters.training import TrainingConfig, TrainingResult, load_training_host

from .learning import attach_to, learn

__all__ = ["run"]


def run(config: TrainingConfig) -> TrainingResult:
    """Train an adapter beside a frozen host."""
    model, processor = load_training_host(config)
    handle = attach_to(model, processor, config)
    return learn(handle, processor, config)
