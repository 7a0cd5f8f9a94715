"""Read and check an adapter's directory; nothing is attached. What is in it: ``adapter_files.py``."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from parrot_adapters.adapter.adapter_files import (
    CHECKPOINT,
    CONFIG,
    FORMAT_VERSIONS,
    HASHED,
    LORA_CONFIG,
    LORA_WEIGHTS,
    NAMED,
    PROJECTOR,
    WEIGHTS,
    check_config,
    check_file,
    find_file,
    read_tensors,
)
from parrot_adapters.adapter.config import AdapterConfig
from parrot_adapters.adapter.snapshot import PLUGIN_KEYS, AdapterSnapshot
from parrot_adapters.bounded_json import read_json, read_json_object
from parrot_adapters.digests import CHECKSUM_PATTERN
from parrot_adapters.errors import CheckpointError, ConfigError, HostMismatchError, explain
from parrot_adapters.hosts.adapter_directory import PEFT_TYPE
from parrot_adapters.hosts.chat_format import ChatFormat
from parrot_adapters.hosts.fingerprint import structure_differences
from parrot_adapters.hosts.hub_name import as_hub_name
from parrot_adapters.hosts.lora import is_own_lora, lora_arguments, stored_names
from parrot_adapters.limits import limit
from parrot_adapters.plugins.kinds import KINDS

__all__ = ["BESIDE_PEFT", "StoredAdapter", "read_adapter", "require_same_tensors"]

# Where the adapter is in a directory that a PeftModel wrote; a Trainer takes a folder with weights one level up for
# another set of peft's.
BESIDE_PEFT = "parrot/adapter"
SIZE_UNLESS_SAID = 4096  # the hidden size of an expert in a file that does not say: what the default once was


@dataclass(frozen=True, eq=False)
class StoredAdapter(AdapterSnapshot):
    """An adapter as it is in a directory.

    Attributes:
        weights: Tensors of its layer by name; None where it holds a projector only.
        directory: Where it was read from.
        beside: Names of host weights, or of peft's, that trained with it and lie beside it in a trainer's checkpoint.
    """

    weights: Mapping[str, Tensor] | None
    directory: Path
    beside: tuple[str, ...] = ()

    def require_weights(self) -> Mapping[str, Tensor]:
        """The weights of its module.

        Raises:
            CheckpointError: it has none.
        """
        if self.weights is None:
            raise CheckpointError(
                explain(
                    f"the adapter in {self.directory} has no module: it holds a projector only, as stage 1 makes it.",
                    to_do="name the adapter of stage 2",
                )
            )
        return self.weights

    def require_projector(self) -> Mapping[str, Tensor]:
        """The weights of its projector.

        Raises:
            CheckpointError: It has none of its own.
        """
        if self.projector is None:
            raise CheckpointError(
                explain(
                    f"the adapter in {self.directory} has no projector of its own.",
                    to_do="stage 1 makes one; for its module use load_adapter",
                )
            )
        return self.projector

    def require_lora(self) -> tuple[dict[str, Any], Mapping[str, Tensor]]:
        """The arguments of ``peft.LoraConfig`` that its LoRA was made with, and its weights.

        Raises:
            CheckpointError: It has none.
        """
        if self.lora is None or self.lora_config is None:
            raise CheckpointError(
                explain(f"the adapter in {self.directory} has no LoRA.", to_do="name one that was trained with lora")
            )
        return lora_arguments(self.lora_config), self.lora

    def require_architecture(self, here: Mapping[str, Any]) -> None:
        """Refuse a host of another architecture.

        Args:
            here: What the host at hand is recognised by (:func:`parrot_adapters.hosts.fingerprint.fingerprint`).

        Raises:
            HostMismatchError: The adapter does not fit it.
        """
        if differences := structure_differences(self.host, here):
            raise HostMismatchError(
                explain(
                    f"the adapter in {self.directory} was made for another host.",
                    **{f"differs_{i}": text for i, text in enumerate(differences, 1)},
                )
            )


def read_adapter(directory: Path) -> StoredAdapter:
    """Read and check an adapter directory; where it is being replaced, the new adapter is waited for.

    Raises:
        CheckpointError: Not an adapter's directory, damaged, of a newer format, or holding NaN.
    """
    if not _describes_adapter(directory) and _describes_adapter(directory / BESIDE_PEFT):
        directory = directory / BESIDE_PEFT
    end = time.monotonic() + limit("save_seconds")
    while True:
        before = _trace(directory)
        try:
            found = _read_once(directory)
        except CheckpointError:
            if _trace(directory) == before or time.monotonic() > end:
                raise
        else:
            if _trace(directory).get(CONFIG) == before.get(CONFIG):
                return found
            if time.monotonic() > end:
                raise CheckpointError(
                    explain(f"the adapter in {directory} was replaced while it was read.", to_do="read it again")
                )
        time.sleep(0.02)


def require_adapter(directory: str | os.PathLike[str]) -> None:
    """Refuse what is no adapter from its settings alone, before a large host is loaded for it.

    Args:
        directory: of the adapter, or a Hub name, which is looked at when it is loaded.

    Raises:
        CheckpointError: there is no adapter.
    """
    if os.path.exists(directory) or str(directory).count("/") != 1:
        _read_config(Path(directory))


def _trace(directory: Path) -> dict[str, tuple[int, ...]]:
    """What changes where a save replaces an adapter: which files there are, waiting ones too, and since when."""
    found: dict[str, tuple[int, ...]] = {}
    for name in (CONFIG, *HASHED) if os.path.isdir(directory) else ():
        path = directory / name
        for file in (path, *path.parent.glob(f".{path.name}.*")):
            try:
                here = file.stat()
            except OSError:
                continue
            found[str(file.relative_to(directory))] = (here.st_ino, here.st_size, here.st_mtime_ns)
    return found


def _read_once(directory: Path) -> StoredAdapter:
    described = _read_config(directory)
    if isinstance(described.get("weights_in"), dict):
        return _read_checkpoint(directory, described)
    checksums = {name: checksum for name, checksum in described["files"].items() if name in HASHED}
    files = {name: find_file(directory / name, checksum) for name, checksum in checksums.items()}
    missing = [name for name, path in files.items() if not path.is_file()]
    needed = WEIGHTS if described.get("module", True) else PROJECTOR
    if missing or needed not in files:
        pickled = sorted(p.name for p in directory.glob("*") if p.suffix in (".bin", ".pt", ".pth", ".pkl"))
        raise CheckpointError(
            explain(
                f"the adapter in {directory} is incomplete.",
                missing=", ".join(missing) or needed,
                found=f"{', '.join(pickled)}: pickled weights are never loaded, they can run code" if pickled else None,
                to_do="copy the whole directory again, or save the adapter again",
            )
        )
    settings = _settings(directory, described)
    if LORA_CONFIG in files:
        check_file(files[LORA_CONFIG], checksums[LORA_CONFIG])
    # The small ones first: what is wrong with them is said before gigabytes are read.
    tensors = {
        name: read_tensors(files[name], checksums[name]) for name in (LORA_WEIGHTS, PROJECTOR, WEIGHTS) if name in files
    }
    return StoredAdapter(
        **settings,
        weights=tensors.get(WEIGHTS),
        projector=tensors.get(PROJECTOR),
        lora_config=read_json_object(files[LORA_CONFIG]) if LORA_CONFIG in files else None,
        lora=tensors.get(LORA_WEIGHTS),
        directory=directory,
    )


def _read_checkpoint(directory: Path, described: Mapping[str, Any]) -> StoredAdapter:
    """An adapter in a trainer's checkpoint: its tensors are among those that trained, by the host's own names."""
    path, where = directory / CHECKPOINT, described["weights_in"]
    if not path.is_file() or CHECKPOINT not in described["files"]:
        raise CheckpointError(
            explain(
                f"the adapter in {directory} is incomplete.",
                missing=CHECKPOINT,
                to_do="copy the whole directory again, or save the model again",
            )
        )
    tensors = read_tensors(path, described["files"][CHECKPOINT])
    prefixes = {part: str(where[part]) for part in ("module", "projector") if where.get(part) is not None}
    parts = {
        part: {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
        for part, prefix in prefixes.items()
    }
    settings = where.get("lora")
    lora = None if settings is None else stored_names(tensors)
    own = (*prefixes.values(), NAMED)
    beside = tuple(name for name in tensors if not name.startswith(own) and not (lora and is_own_lora(name)))
    return StoredAdapter(
        **_settings(directory, described),
        weights=parts.get("module"),
        projector=parts.get("projector"),
        lora_config=settings,
        lora=lora,
        directory=directory,
        beside=beside,
    )


def _settings(directory: Path, described: Mapping[str, Any]) -> dict[str, Any]:
    """What a config says besides where the weights are."""
    try:
        return {
            "config": _stored_config(described["adapter"]),
            "chat": ChatFormat.from_dict(described.get("chat_format", {})),
            "host": described["host"],
            "base_model": as_hub_name(described.get("base_model_name_or_path")),
            "plugins": _plugins(described.get("plugins", [])),
        }
    except (ConfigError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(explain(f"{directory / CONFIG} cannot be understood.", because=error)) from error


def _stored_config(described: Mapping[str, Any]) -> AdapterConfig:
    """Settings as files have them: with a size of the experts, which scales with no host any more."""
    config = AdapterConfig.from_dict({"expert_hidden_size": SIZE_UNLESS_SAID} | dict(described))
    if config.expert_hidden_size is None:
        raise ConfigError("expert_hidden_size=None is no number; files have the one that their weights were made with")
    return config


def _describes_adapter(directory: Path) -> bool:
    """Whether there is a config, and not one of peft's own."""
    if not os.path.isfile(directory / CONFIG):  # where Path.is_file would raise on a name too long
        return False
    try:
        return read_json_object(directory / CONFIG).get("peft_type") == PEFT_TYPE
    except CheckpointError:
        return False  # whoever reads it says what is wrong with it


def require_same_tensors(own: Mapping[str, Tensor], given: Mapping[str, Tensor], path: Path) -> None:
    """Refuse tensors of other names, shapes or kinds than those they are to replace.

    Args:
        own: The tensors to be replaced, by name.
        given: What was read.
        path: The file it was read from, for the message.

    Raises:
        CheckpointError: They differ.
    """
    missing, unknown = sorted(own.keys() - given.keys()), sorted(given.keys() - own.keys())
    shapes = [
        f"{k}: {_form(given[k])} in the file, {_form(own[k])} expected"
        for k in sorted(own.keys() & given.keys())
        if own[k].shape != given[k].shape or own[k].is_floating_point() != given[k].is_floating_point()
    ]
    if missing or unknown or shapes:
        raise CheckpointError(
            explain(
                f"{path} does not fit the adapter its config describes.",
                missing=", ".join(missing[:5]) or None,
                unknown=", ".join(unknown[:5]) or None,
                shapes="; ".join(shapes[:5]) or None,
            )
        )


def _form(tensor: Tensor) -> str:
    return f"{tuple(tensor.shape)} {'floating' if tensor.is_floating_point() else tensor.dtype}"


def _read_config(directory: Path) -> dict[str, Any]:
    path = directory / CONFIG
    if not os.path.isfile(path):  # False, too, for a name that no file can have
        there = (
            ", ".join(sorted(p.name for p in directory.iterdir())[:8])
            if os.path.isdir(directory)
            else f"a file; its directory is {directory.parent}"
            if os.path.isfile(directory)
            else "no such directory"
        )
        raise CheckpointError(
            explain(f"{directory} is not an adapter directory: no {CONFIG}.", found=there or "an empty directory")
        )
    described = read_json(path)
    if not isinstance(described, dict) or described.get("peft_type") != PEFT_TYPE:
        given = described.get("peft_type") if isinstance(described, dict) else type(described).__name__
        raise CheckpointError(
            explain(
                f"{path} does not describe a parrot adapter.",
                given=f"peft_type {given!r}, expected {PEFT_TYPE!r}",
                to_do="for a LoRA of peft use peft.PeftModel.from_pretrained",
            )
        )
    if described.get("format_version") not in FORMAT_VERSIONS:
        raise CheckpointError(
            explain(
                f"{path} has format version {described.get('format_version')!r}; this release reads "
                f"{', '.join(map(str, FORMAT_VERSIONS))}.",
                made_by=f"parrot_adapters {described.get('library_version')}",
                to_do="upgrade parrot_adapters",
            )
        )
    _require_what_the_version_is_for(path, described)
    absent = [key for key in ("adapter", "host", "files") if not isinstance(described.get(key), dict)]
    if absent:
        raise CheckpointError(f"{path} lacks {', '.join(absent)}")
    check_config(described, path)
    if because := _misshapen(described):
        raise CheckpointError(explain(f"{path} cannot be understood.", because=because))
    return described


def _require_what_the_version_is_for(path: Path, described: Mapping[str, Any]) -> None:
    """Refuse version 2 without what it was made for."""
    settings = described.get("adapter")
    if described["format_version"] == 2 and isinstance(settings, Mapping) and "placement" not in settings:
        raise CheckpointError(
            explain(
                f"{path} has format version 2, which is for experts inside the layers, and no settings of any.",
                made_by=f"parrot_adapters {described.get('library_version')}",
                to_do="upgrade parrot_adapters, or copy the file again",
            )
        )


def _misshapen(described: Mapping[str, Any]) -> str | None:
    """What of a config has a form that nothing here means."""
    host, files = described["host"], described["files"]
    if not all(isinstance(one, str) and re.fullmatch(CHECKSUM_PATTERN, one) for one in files.values()):
        return "files must map names to checksums: xxh3- and 32 hexadecimal letters, or SHA-256"
    if not isinstance(host.get("model_type"), str):
        return "host.model_type must be text"
    peft = host.get("peft")
    if peft is not None and not _describes_peft(peft):
        return "host.peft must be null or a mapping with kinds and tensors"
    width = host.get("width")
    if not isinstance(width, int) or isinstance(width, bool) or not 1 <= width < 2**31:
        return "host.width must be a whole number of at least 1"
    return None


def _describes_peft(given: Any) -> bool:
    """Whether this is what a fingerprint says of weights that peft put beside a host's."""
    kinds = given.get("kinds") if isinstance(given, dict) else None
    return isinstance(kinds, list) and all(isinstance(kind, str) for kind in kinds) and "tensors" in given


def _plugins(given: Any) -> list[dict[str, Any]]:
    """The plugins that a config names.

    Raises:
        ConfigError: It is no list of mappings from :data:`PLUGIN_KEYS` to texts.
    """
    used = given if isinstance(given, list) and all(isinstance(one, dict) for one in given) else [{}]
    found = [{key: one.get(key) for key in PLUGIN_KEYS} for one in used]
    for one in found:
        texts = all(value is None or isinstance(value, str) for value in one.values())
        if not texts or one["kind"] not in KINDS or one["name"] is None or one["plugin"] is None:
            raise ConfigError(f"plugins must be a list of mappings with {', '.join(PLUGIN_KEYS)}")
    return found
