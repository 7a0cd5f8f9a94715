"""What a training configuration names must be there: found out before a large host is loaded, and by the plan too."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from parrot_adapters.training.training_config import TrainingConfig

__all__ = ["missing_paths"]


def missing_paths(config: TrainingConfig) -> dict[str, str]:
    """Paths that do not exist, by the key that names them. A name that is no path may be one of the Hub's.

    Args:
        config: Configuration of a run, as loaded: its paths are absolute.
    """
    named = {"host.path": config.host.path, "start_from": config.start_from and os.path.abspath(config.start_from)}
    for number, source in enumerate(config.data.sources):
        named[f"data.sources.{number}.path"] = source.path
        named[f"data.sources.{number}.images"] = source.images
    return {key: path for key, path in named.items() if path and os.path.isabs(path) and not _is_there(path)}


def _is_there(path: str) -> bool:
    return os.path.exists(path) or any(sign in path for sign in "*?[{")  # a pattern of files is its reader's business
