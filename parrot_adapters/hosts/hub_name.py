"""The name a host has on the Hugging Face Hub, if it came from there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

__all__ = ["as_hub_name", "hub_name"]


def hub_name(config: Any) -> str | None:
    """The Hub name a model was loaded by; None where it was made from a config or loaded from a directory.

    Args:
        config: The model's configuration.
    """
    return as_hub_name(getattr(config, "_name_or_path", None))


def as_hub_name(name: Any) -> str | None:
    """A name if it can be one on the Hub (``name`` or ``owner/name``); None for paths, which say nothing elsewhere."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]  # public, but not re-exported

    if not isinstance(name, str) or not name or Path(name).exists():
        return None
    try:
        validate_repo_id(name)
    except HFValidationError:
        return None
    return name
