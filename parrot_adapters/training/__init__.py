"""Two-stage training: configuration, plan, engine. Data is in :mod:`parrot_adapters.data`.

Public names are imported on first use: reading a configuration waits for no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from parrot_adapters.training.config import TrainingConfig
    from parrot_adapters.training.hosts import load_training_host
    from parrot_adapters.training.identity import config_hash, config_to_dict, differences
    from parrot_adapters.training.loading import load_config
    from parrot_adapters.training.roles import assign_roles, parameter_groups, set_trainable
    from parrot_adapters.training.run import TrainingResult, prepare_run, train

__all__ = [
    "TrainingConfig",
    "TrainingResult",
    "assign_roles",
    "config_hash",
    "config_to_dict",
    "differences",
    "load_config",
    "load_training_host",
    "parameter_groups",
    "prepare_run",
    "set_trainable",
    "train",
]

_HOMES = {
    "config": ("TrainingConfig",),
    "hosts": ("load_training_host",),
    "identity": ("config_hash", "config_to_dict", "differences"),
    "loading": ("load_config",),
    "roles": ("assign_roles", "parameter_groups", "set_trainable"),
    "run": ("TrainingResult", "prepare_run", "train"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
