"""From a YAML file and ``key=value`` overrides to a checked :class:`TrainingConfig`.

    load_config("run.yaml", ["data.sources.0.weight=2", "optim.learning_rate=1e-4"])

Everything that is wrong is reported at once. Relative paths in the file are relative to the file; those typed as
overrides, and ``out`` and ``start_from`` (another run's), to the working directory. ``example:NAME/FILE`` leads into an
example that a plugin makes.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from parrot_adapters.atomic_files import as_path
from parrot_adapters.errors import ConfigError, explain
from parrot_adapters.examples import example_path
from parrot_adapters.training.config_faults import Fault, type_faults, without
from parrot_adapters.training.config_rules import rule_faults, with_recipe_defaults
from parrot_adapters.training.config_yaml import parse_yaml, read_yaml
from parrot_adapters.training.training_config import TrainingConfig

__all__ = ["load_config"]

HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")
DATA_FILE = re.compile(r".*\.(json|jsonl|tsv|csv|parquet|arrow|tar)(\.gz|\.zst)?")


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> TrainingConfig:
    """Read and check a training configuration.

    Args:
        path: Path of a YAML file.
        overrides: ``key.path=value``; values are YAML, items of lists are numbers: ``data.sources.0.weight=2``.

    Returns:
        the configuration, with paths made absolute (names on the Hub stay) and everything under ``train`` decided.

    Raises:
        ConfigError: The file is not a mapping in YAML, or settings are unknown, of the wrong type or impossible. The
            message has them all, by key path.
        MissingDependencyError: Pydantic is not installed.
    """
    path = as_path(path, "path").expanduser()
    values = _anchored(read_yaml(path), path.parent)
    faults = [fault for override in overrides for fault in _override(values, override)]
    config, mistyped = type_faults(_plain(_anchored(values, Path.cwd()), path))
    faults += mistyped
    # Rules hold for whatever is well typed, so that one run of the command shows everything.
    if config is None:
        config, _ = type_faults(without(values, mistyped))
    if config is not None:
        config = with_recipe_defaults(config)
        broken = [fault.key for fault in mistyped]
        for fault, others in rule_faults(config):
            if not any(_touches(key, other) for key in (fault.key, *others) for other in broken):
                faults.append(fault)
    if config is None or faults:
        raise ConfigError(_report(path, faults))
    return config


def _report(path: Path, faults: Sequence[Fault]) -> str:
    count = "a setting" if len(faults) == 1 else f"{len(faults)} settings"
    width = max(len(fault.key) for fault in faults)
    return "\n".join([f"{count} of {path} cannot be used.", *(f"  {f.key:<{width}}  {f.what}" for f in faults)])


def _touches(key: str, other: str) -> bool:
    return key == other or key.startswith(f"{other}.") or other.startswith(f"{key}.")


# --- overrides -------------------------------------------------------------------------------------------------------


def _override(values: dict[str, Any], text: str) -> Iterator[Fault]:
    """Set one key; yields a fault where there is no such place."""
    key, given, value = text.partition("=")
    key = key.strip()
    if not given or not key or not all(key.split(".")):
        yield Fault(text, "is not key.path=value")
        return
    *parents, last = key.split(".")
    place: Any = values
    for number, part in enumerate(parents):
        child = _child(place, part)
        if child is None and isinstance(place, dict):
            place[part] = child = {}
        if not isinstance(child, dict | list):
            yield Fault(key, f"there is nothing below {'.'.join(parents[: number + 1])} to set")
            return
        place = child
    found = parse_yaml(value, f"the value of {key}")
    if isinstance(place, dict):
        place[last] = found
    elif (position := _position(last, place)) is not None:
        place[position] = found
    else:
        yield Fault(key, f"{'.'.join(parents)} has items 0 to {len(place) - 1}")


def _child(place: Any, part: str) -> Any:
    if isinstance(place, list):
        return None if (position := _position(part, place)) is None else place[position]
    return place.get(part)


def _position(part: str, place: list[Any]) -> int | None:
    """Which item of a list a part of a key names; None where it has none of that number."""
    number = int(part) if part.isascii() and part.isdigit() and len(part) < 10 else len(place)
    return number if number < len(place) else None


# --- paths -----------------------------------------------------------------------------------------------------------


def _anchored(values: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The same settings with relative paths made absolute. What is not a path is left for the checks to report."""
    host, data = values.get("host"), values.get("data")
    if isinstance(host, dict) and isinstance(host.get("path"), str):
        host["path"] = _file_or_hub_name(host["path"], folder)
    sources = data.get("sources") if isinstance(data, dict) else None
    for source in sources if isinstance(sources, list) else ():
        if isinstance(source, dict):
            if isinstance(source.get("path"), str):
                source["path"] = _file_or_hub_name(source["path"], folder)
            if isinstance(source.get("images"), str):
                source["images"] = _absolute(source["images"], folder)
    return values


def _file_or_hub_name(name: str, folder: Path) -> str:
    if (made := example_path(name)) is not None:
        return str(made)
    here = _absolute(name, folder)
    could_be_name = HUB_NAME.fullmatch(name) and not DATA_FILE.fullmatch(name) and not name.startswith(".")
    return name if could_be_name and not Path(here).exists() else here


def _absolute(name: str, folder: Path) -> str:
    return os.path.abspath(folder / Path(name).expanduser())


def _plain(values: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Anchors of YAML can make a value contain itself, which nothing here can mean."""
    try:
        plain: dict[str, Any] = json.loads(json.dumps(values))
    except (TypeError, ValueError, RecursionError) as error:
        raise ConfigError(
            explain(f"the configuration {path} is not plain text, numbers, lists and mappings.", because=error)
        ) from error
    return plain
