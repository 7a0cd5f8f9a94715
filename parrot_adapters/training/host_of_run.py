"""The host of a run, loaded as its configuration says."""

from __future__ import annotations

from typing import Any

from parrot_adapters.training.training_config import TrainingConfig

__all__ = ["load_training_host"]


def load_training_host(config: TrainingConfig) -> tuple[Any, Any]:
    """Load a run's host and its processor, to where the engine wants them.

    Args:
        config: Configuration of the run.

    Returns:
        the model, in eval mode, and the processor.

    Raises:
        ConfigError: One of them cannot be loaded, weights are missing, or a setting is unknown.
    """
    from parrot_adapters.hosts.load_host import load_host
    from parrot_adapters.training.engines import host_device

    return load_host(
        config.host.path,
        dtype=config.host.dtype,
        device=host_device(config),
        processor_options=config.host.processor,
        attn_implementation=config.host.attention,
    )
