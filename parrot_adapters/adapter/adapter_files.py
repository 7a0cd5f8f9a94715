"""An adapter's directory: what its files are called, how they are replaced, and how they are read.

    adapter_config.json          what it is, for which host, made by which plugins (versions included)
    adapter_model.safetensors    the layer's weights; absent where the adapter holds a projector only
    projector.safetensors        only if the adapter owns the projector
    llm_lora/                    only if it owns LoRA: a standard peft directory
    model.safetensors            in place of these three in a trainer's checkpoint, which is read by the host's own
                                 names: what trained, the adapter among it; the config's ``weights_in`` says where
    README.md                    a model card that says how to load it; what its owner adds to it stays

The config holds each file's checksum and a digest of itself, so damage is recognised before anything is touched.
Replacing an adapter is one atomic step, the config's: new files first arrive under pending names that contain their
checksum, the new config makes them the adapter, and only then do they take their final names. Whenever a save is cut
short, loading finds the old adapter or the new one, whole. No pickle, in either direction.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from parrot_adapters.atomic_files import working_directory
from parrot_adapters.bounded_json import read_json_object
from parrot_adapters.digests import file_checksum, json_digest
from parrot_adapters.errors import CheckpointError, explain
from parrot_adapters.hosts.tensor_files import TensorSource, read_tensor_file, write_tensor_file

__all__ = [
    "CARD",
    "CHECKPOINT",
    "CONFIG",
    "FORMAT_VERSIONS",
    "HASHED",
    "LORA",
    "LORA_CONFIG",
    "LORA_WEIGHTS",
    "NAMED",
    "NAMELESS",
    "PROJECTOR",
    "WEIGHTS",
    "check_config",
    "check_file",
    "find_file",
    "read_tensors",
    "require_computable",
    "require_finite",
    "save_tensors",
    "staging_directory",
    "write_config",
]

# 1: experts at the projector, or none; SHA-256 of each file. 2: experts inside the language model's layers, too.
# 3: checksums of files are XXH3. The last is written, all are read; earlier releases refuse what is later than they.
FORMAT_VERSIONS = (1, 2, 3)
CONFIG, WEIGHTS, PROJECTOR, LORA = (
    "adapter_config.json",
    "adapter_model.safetensors",
    "projector.safetensors",
    "llm_lora",
)
LORA_WEIGHTS, LORA_CONFIG = f"{LORA}/adapter_model.safetensors", f"{LORA}/adapter_config.json"
HASHED = (WEIGHTS, PROJECTOR, LORA_WEIGHTS, LORA_CONFIG)
OWN_DIGEST = "config_sha256"  # of everything else in the config; adapters of early releases have none
COMPUTED_IN = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
CARD = "README.md"
CHECKPOINT = "model.safetensors"  # what a stock Trainer looks for
NAMED = "parrot_adapter_named"  # beside the weights there, where a host has several adapters: the name of this one
# Stands where the name of a host from the Hub would: other libraries quote it in their errors.
NAMELESS = "(a host without a name: use parrot_adapters.load_adapter on it)"


@contextmanager
def staging_directory(directory: Path) -> Iterator[Path]:
    """A temporary directory on the same disk; on leaving, its files become the adapter in ``directory``."""
    new = not directory.exists()
    with working_directory(directory if new else directory / CONFIG) as workplace:
        staging = workplace / "new"
        staging.mkdir()
        yield staging
        if new and not directory.exists():
            os.replace(staging, directory)
        else:
            _replace(directory, staging)


def _replace(directory: Path, staging: Path) -> None:
    checksums: dict[str, str] = read_json_object(staging / CONFIG)["files"]
    for name, checksum in checksums.items():
        pending = _pending(directory / name, checksum)
        pending.parent.mkdir(exist_ok=True)
        os.replace(staging / name, pending)
    os.replace(staging / CONFIG, directory / CONFIG)  # now the new adapter is the one that loads
    for name, checksum in checksums.items():
        with suppress(FileNotFoundError):  # another rank of the same run, saving the same, was faster
            os.replace(_pending(directory / name, checksum), directory / name)
    os.replace(staging / CARD, directory / CARD)
    for name in HASHED:  # what the old adapter had and the new one has not, and what saves cut short have left
        path = directory / name
        for stale in ([] if name in checksums else [path], path.parent.glob(f".{path.name}.*")):
            for file in stale:
                file.unlink(missing_ok=True)
    with suppress(OSError):
        (directory / LORA).rmdir()  # only if nothing is left in it


def _pending(path: Path, checksum: str) -> Path:
    return path.with_name(f".{path.name}.{checksum[:16]}")


def write_config(described: Mapping[str, Any], path: Path) -> None:
    """Write a config with its own digest."""
    described = {name: value for name, value in described.items() if name != OWN_DIGEST}
    text = json.dumps({**described, OWN_DIGEST: json_digest(described)}, indent=2, sort_keys=True, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def check_config(described: Mapping[str, Any], path: Path) -> None:
    """Refuse a config that is not what was saved.

    Raises:
        CheckpointError: Its digest is another one. Without a digest, as early releases wrote it, it passes.
    """
    content = {name: value for name, value in described.items() if name != OWN_DIGEST}
    if OWN_DIGEST in described and described[OWN_DIGEST] != json_digest(content):
        raise CheckpointError(
            explain(
                f"{path} is damaged: its contents are not what was saved.",
                to_do="copy it again from where it was saved; for other settings on purpose, attach() an adapter with "
                "them, load the weights into handle.module and save that",
            )
        )


def save_tensors(tensors: Mapping[str, Tensor | TensorSource], path: Path) -> str:
    """Write a safetensors file.

    Returns:
        Its checksum, made of the bytes on their way to the disk.

    Raises:
        OSError: It cannot be written.
    """
    return write_tensor_file(path, tensors)


def find_file(path: Path, checksum: str) -> Path:
    """The file of that content: under its name, or under its pending one if a save was cut short."""
    pending = _pending(path, checksum)
    return pending if pending.is_file() and (not path.is_file() or _checksum(path, checksum) != checksum) else path


def check_file(path: Path, checksum: str) -> None:
    """Refuse a file of other content.

    Raises:
        CheckpointError: Its content is another one, or it cannot be read.
    """
    _require_checksum(path, _checksum(path, checksum), checksum)


def _require_checksum(path: Path, found: str, expected: str) -> None:
    if found != expected:
        raise CheckpointError(
            explain(
                f"{path} is damaged: its contents are not what was saved.",
                size=f"{path.stat().st_size} bytes",
                to_do="copy it again from where it was saved; to use weights that you edited on purpose, "
                "attach() an adapter of the same config, load them into handle.module and save that",
            )
        )


def _checksum(path: Path, like: str) -> str:
    try:
        return file_checksum(path, like)
    except OSError as error:
        raise CheckpointError(explain(f"{path} cannot be read.", because=error)) from error


def read_tensors(path: Path, checksum: str | None = None) -> dict[str, Tensor]:
    """The tensors of a safetensors file, all of them fit to compute with, and independent of the file.

    Args:
        path: File to read.
        checksum: Its checksum; None for any.

    Raises:
        CheckpointError: Its content is another one; it is no such file, or holds NaN, infinity or floating-point types
            that nothing computes in.
    """
    try:
        found = read_tensor_file(path, checksum)
    except Exception as error:  # safetensors' own, and whatever torch says of types that it does not know
        if checksum is not None:
            check_file(path, checksum)
        raise CheckpointError(explain(f"{path} is not a readable safetensors file.", because=error)) from error
    if checksum is not None:
        _require_checksum(path, found.checksum, checksum)
    require_computable({name: value.dtype for name, value in found.tensors.items()}, path)
    require_finite(found.not_finite, path)
    return found.tensors


def require_computable(dtypes: Mapping[str, torch.dtype], named: object) -> None:
    """Refuse types that an adapter cannot compute in.

    Args:
        dtypes: Of the weights, by name.
        named: What holds them, for messages.

    Raises:
        CheckpointError: Some are such.
    """
    foreign = [
        f"{name}: {str(dtype).removeprefix('torch.')}"
        for name, dtype in dtypes.items()
        if (dtype.is_floating_point and dtype not in COMPUTED_IN) or dtype.is_complex
    ]
    if foreign:
        raise CheckpointError(
            explain(
                f"{named} holds weights of a type that an adapter cannot compute in.",
                where=", ".join(foreign[:5]),
                known=", ".join(str(dtype).removeprefix("torch.") for dtype in COMPUTED_IN),
            )
        )


def require_finite(broken: Sequence[str], named: object) -> None:
    """Refuse weights that are not finite.

    Args:
        broken: Names of those that hold NaN or infinity.
        named: What holds them, for messages.

    Raises:
        CheckpointError: There are some.
    """
    if broken:
        raise CheckpointError(
            explain(
                f"{named} holds NaN or infinite weights.",
                where=", ".join(sorted(broken)[:5]),
                to_do="the training run diverged before it was saved; use an earlier checkpoint",
            )
        )
