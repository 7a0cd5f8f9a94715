"""The name under which the settings of a run were imported before they were parted; kept for what was written then."""

from __future__ import annotations

from parrot_adapters.data.settings import DataSettings, SourceSettings
from parrot_adapters.training.training_config import HostSettings, TrainingConfig

__all__ = ["DataSettings", "HostSettings", "SourceSettings", "TrainingConfig"]
