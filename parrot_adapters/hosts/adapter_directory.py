"""A directory that holds an adapter where a host is wanted."""

from __future__ import annotations

import json
from pathlib import Path

from parrot_adapters.errors import ConfigError, explain

__all__ = ["PEFT_TYPE", "refuse_adapter"]

PEFT_TYPE = "PARROT_MOE"  # peft does not know it, so peft refuses the directory rather than dropping weights


def refuse_adapter(name: str) -> None:
    """Refuse a directory that holds an adapter of this library where a host is wanted, before anything is loaded.

    Args:
        name: directory or Hub name.

    Raises:
        ConfigError: it holds one.
    """
    try:
        held = json.loads(Path(name, "adapter_config.json").read_text("utf-8")) if Path(name).is_dir() else {}
    except (OSError, ValueError):
        return
    if not isinstance(held, dict) or held.get("peft_type") != PEFT_TYPE or Path(name, "config.json").is_file():
        return
    raise ConfigError(
        explain(
            "the directory holds an adapter, not a model.",
            given=name,
            its_host=held.get("base_model_name_or_path"),
            to_do="give the model that it was made for; parrot_adapters.load_adapter(model, directory) puts it on",
        )
    )
