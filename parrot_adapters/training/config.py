"""A name from before the settings of data had a file of their own; kept for code written then."""

from __future__ import annotations

from parrot_adapters.data.settings import DataSettings, SourceSettings
from parrot_adapters.training.training_config import HostSettings, TrainingConfig

__all__ = ["DataSettings", "HostSettings", "SourceSettings", "TrainingConfig"]
