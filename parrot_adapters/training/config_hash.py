"""When two configurations are the same run: whatever decides the weights is equal."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from fnmatch import fnmatchcase
from typing import Any

from parrot_adapters.adapter.config import AdapterConfig
from parrot_adapters.digests import json_digest
from parrot_adapters.training.training_config import TrainingConfig

__all__ = ["config_hash", "config_to_dict", "differences"]

# They say how long, where, on what and how loudly, not what is learned. Engines differ in last bits only; pieces also
# in what an auxiliary loss sees at a time.
FREE = (
    "steps",
    "epochs",
    "out",
    "log",
    "checkpoint",
    "engine.device",
    "engine.kind",
    "engine.gradient_checkpointing",
    "engine.pieces",
    "data.workers",
    "data.strict",  # it and the next one refuse samples, and change none
    "data.sources.*.allow_outside",
)


def config_to_dict(config: TrainingConfig) -> dict[str, Any]:
    """Write a whole configuration as data that JSON can hold.

    Args:
        config: Configuration of the run.
    """
    plain: dict[str, Any] = json.loads(json.dumps(asdict(config)))
    return plain


def config_hash(config: TrainingConfig) -> str:
    """Name everything that decides a run's weights by one hexadecimal SHA-256.

    Steps, epochs, ``out``, logging, checkpoints, engine, device, pieces and the number of data workers do not count
    (the arithmetic, ``engine.compute``, does); an adapter setting left out counts as its default written down.

    Args:
        config: Configuration of the run.
    """
    return json_digest(dict(_deciding(config_to_dict(config))))


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """List the key paths at which two configurations decide the weights differently.

    Empty exactly where their :func:`config_hash` is equal.

    Args:
        old: Configuration, as :func:`config_to_dict` writes it.
        new: Other configuration, likewise.
    """
    before, after = dict(_deciding(old)), dict(_deciding(new))
    return [key for key in {**before, **after} if before.get(key) != after.get(key)]


def _deciding(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    adapter = values.get("adapter")
    if adapter is not None:
        values = {**values, "adapter": AdapterConfig.from_dict(adapter).to_dict()}
    for key, value in _leaves(values, ""):
        if not any(key.startswith(f"{free}.") or fnmatchcase(key, free) for free in FREE):
            yield key, value


def _leaves(value: Any, path: str) -> Iterator[tuple[str, str]]:
    """Dotted path and JSON of everything that is not a container; an empty container is as good as none.

    JSON, because Python finds ``1 == True``; and ``1.0`` is written as ``1``, because YAML may have either.
    """
    if isinstance(value, Mapping):
        children: Any = value.items()
    elif isinstance(value, list | tuple):
        children = enumerate(value)
    else:
        whole = isinstance(value, float) and value.is_integer()
        yield path, json.dumps(int(value) if whole else value)
        return
    for key, child in children:
        yield from _leaves(child, f"{path}.{key}" if path else str(key))
