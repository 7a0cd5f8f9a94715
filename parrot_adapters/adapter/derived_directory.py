"""Make an adapter directory out of another one: same host, same projector and LoRA, another layer."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parrot_adapters.adapter.adapter_files import (
    CONFIG,
    FORMAT_VERSIONS,
    HASHED,
    NAMELESS,
    WEIGHTS,
    find_file,
    save_tensors,
    write_config,
)
from parrot_adapters.adapter.build_layer import build_layer, stored_features
from parrot_adapters.adapter.fitting_layer import fitting_layer
from parrot_adapters.adapter.model_card import read_card, updated_card, write_card
from parrot_adapters.atomic_files import appearing_directory
from parrot_adapters.bounded_json import read_json_object
from parrot_adapters.digests import file_checksum
from parrot_adapters.errors import CheckpointError, explain, writing

if TYPE_CHECKING:
    from torch import Tensor

    from parrot_adapters.adapter.config import AdapterConfig
    from parrot_adapters.adapter.read_adapter_files import StoredAdapter
    from parrot_adapters.core import AlignmentLayer

__all__ = ["stored_layer", "write_derived"]


def stored_layer(stored: StoredAdapter) -> AlignmentLayer:
    """The layer of an adapter directory, without a host.

    Raises:
        CheckpointError: the weights do not fit the config, or there are none.
    """
    weights = stored.require_weights()
    build = partial(build_layer, stored.config, stored.host["width"], stored_features(weights))
    layer = fitting_layer(build, stored.config, weights, stored.directory / WEIGHTS)
    dtypes = {value.dtype for value in weights.values() if value.is_floating_point()}
    return layer.to(dtypes.pop()) if len(dtypes) == 1 else layer


def write_derived(
    stored: StoredAdapter, out: Path, config: AdapterConfig, weights: Mapping[str, Tensor], how: Mapping[str, Any]
) -> None:
    """Write a directory like ``stored``'s with another config and other weights. All of it appears at once.

    Args:
        stored: the adapter it is derived from.
        out: must not exist, or be empty.
        config: of the new layer.
        weights: its state dict.
        how: plain values, kept in ``adapter_config.json`` under ``derived``.

    Raises:
        CheckpointError: ``out`` holds something, or cannot be written.
    """
    with writing(out):
        in_use = out.exists() and (not out.is_dir() or any(out.iterdir()))
    if in_use:
        raise CheckpointError(explain(f"{out} exists already.", to_do="name a directory that does not exist"))
    described = read_json_object(stored.directory / CONFIG)
    names = [name for name in HASHED if name in described["files"]]
    try:
        with appearing_directory(out, existing="refuse") as staging:
            checksums = {WEIGHTS: save_tensors(weights, staging / WEIGHTS)}
            for name in names:
                (staging / name).parent.mkdir(exist_ok=True)
                if name != WEIGHTS:
                    shutil.copyfile(find_file(stored.directory / name, described["files"][name]), staging / name)
                    checksums[name] = file_checksum(staging / name)
            used = {
                "router": config.router,
                "expert": config.expert,
                "summary": config.summary,
                "layer-expert": config.layer_expert,
            }
            derived = replace(stored, config=config)
            described |= {
                "format_version": FORMAT_VERSIONS[-1],
                "library_version": version("parrot_adapters"),
                "base_model_name_or_path": stored.base_model or NAMELESS,
                "adapter": config.to_dict(),
                "plugins": [dict(p) for p in stored.plugins if used.get(p["kind"], p["name"]) == p["name"]],
                "files": checksums,
                "derived": dict(how),
            }
            write_card(staging, updated_card(read_card(stored.directory), derived, how))
            write_config(described, staging / CONFIG)
    except OSError as error:
        raise CheckpointError(explain(f"cannot write {out}.", because=error)) from error
