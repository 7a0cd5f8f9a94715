"""Write an adapter to a directory. What is in it: ``adapter_files.py``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from torch import Tensor

from parrot_adapters.adapter.adapter_files import (
    CHECKPOINT,
    CONFIG,
    FORMAT_VERSIONS,
    LORA,
    LORA_CONFIG,
    LORA_WEIGHTS,
    NAMELESS,
    PROJECTOR,
    WEIGHTS,
    save_tensors,
    staging_directory,
    write_config,
)
from parrot_adapters.adapter.model_card import CardFacts, read_card, updated_card, write_card
from parrot_adapters.adapter.snapshot import AdapterSnapshot
from parrot_adapters.atomic_files import appearing_file, write_json
from parrot_adapters.digests import file_checksum
from parrot_adapters.errors import CheckpointError, explain
from parrot_adapters.hosts.adapter_directory import PEFT_TYPE

__all__ = ["write_adapter", "write_checkpoint"]


def write_adapter(snapshot: AdapterSnapshot, directory: Path, facts: CardFacts | None = None) -> None:
    """Write an adapter to a directory; one that is there already is replaced in one step.

    Args:
        snapshot: The adapter.
        directory: Made where it does not exist. Files that are not the adapter's stay, and so does what its owner
            wrote in its model card.
        facts: What its model card says besides; None (default) for nothing.

    Raises:
        CheckpointError: The directory cannot be written.
    """
    try:
        if directory.exists() and not directory.is_dir():
            raise CheckpointError(f"cannot save to {directory}: it is a file")
        directory.parent.mkdir(parents=True, exist_ok=True)
        with staging_directory(directory) as staging:
            _write(snapshot, staging)
            write_card(staging, updated_card(read_card(directory), snapshot, facts=facts))
    except OSError as error:
        raise CheckpointError(explain(f"cannot save to {directory}.", because=error)) from error


def write_checkpoint(
    snapshot: AdapterSnapshot, trained: Mapping[str, Tensor], prefixes: Mapping[str, str | None], directory: Path
) -> None:
    """Write what a trainer reads back and ``load_adapter`` reads too: one file of what trained, and the config.

    Args:
        snapshot: The adapter.
        trained: Tensors by their names in the host's state dict, the adapter's among them.
        prefixes: What the names of the adapter's ``module`` and ``projector`` begin with there; None where it has none.
        directory: Made where it does not exist.

    Raises:
        CheckpointError: The directory cannot be written.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with appearing_file(directory / CHECKPOINT) as path:
            checksum = save_tensors(trained, path)
        described = _described(snapshot, {CHECKPOINT: checksum})
        lora = None if snapshot.lora_config is None else dict(snapshot.lora_config)
        write_json(directory / CONFIG, {**described, "weights_in": {**prefixes, "lora": lora}}, indent=2)
        write_card(directory, updated_card(read_card(directory), snapshot))
    except OSError as error:
        raise CheckpointError(explain(f"cannot save to {directory}.", because=error)) from error


def _write(snapshot: AdapterSnapshot, staging: Path) -> None:
    checksums = {
        name: save_tensors(tensors, staging / name)
        for tensors, name in ((snapshot.weights, WEIGHTS), (snapshot.projector, PROJECTOR))
        if tensors is not None
    }
    if snapshot.lora is not None and snapshot.lora_config is not None:
        (staging / LORA).mkdir()
        (staging / LORA_CONFIG).write_text(json.dumps(snapshot.lora_config, indent=2, sort_keys=True), encoding="utf-8")
        checksums[LORA_WEIGHTS] = save_tensors(snapshot.lora, staging / LORA_WEIGHTS)
        checksums[LORA_CONFIG] = file_checksum(staging / LORA_CONFIG)
    write_config(_described(snapshot, checksums), staging / CONFIG)


def _described(snapshot: AdapterSnapshot, files: Mapping[str, str]) -> dict[str, Any]:
    return {
        "peft_type": PEFT_TYPE,
        "format_version": FORMAT_VERSIONS[-1],
        "library_name": "parrot_adapters",
        "library_version": version("parrot_adapters"),
        "base_model_name_or_path": snapshot.base_model or NAMELESS,
        "module": snapshot.weights is not None,
        "adapter": snapshot.config.to_dict(),
        "chat_format": snapshot.chat.to_dict(),
        "host": dict(snapshot.host),
        "plugins": [dict(used) for used in snapshot.plugins],
        "files": dict(files),
    }
