"""Weights of a model directory, read and written a piece at a time: safetensors files, one or many with an index."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from parrot_adapters.bounded_json import read_json_object
from parrot_adapters.errors import CheckpointError, explain

__all__ = ["WeightFiles", "write_shards"]

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
LOOSE = ("model*.safetensors", "pytorch_model*.safetensors")
CONVERSION = (
    "state = torch.load(FILE, weights_only=True); safetensors.torch.save_file("
    "{name: value.clone().contiguous() for name, value in state.items()}, FILE + '.safetensors')"
)
PICKLES = ("*.bin", "*.pt", "*.pth", "*.pkl")


class WeightFiles:
    """The weights of a directory by name. Only headers are read until a tensor is asked for.

    Args:
        directory: with ``model.safetensors``, or shards and ``model.safetensors.index.json``, or shards alone.

    Raises:
        CheckpointError: no safetensors there (pickles are refused), a shard is missing or damaged, a name occurs twice.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.shapes: dict[str, tuple[int, ...]] = {}
        self._file_of: dict[str, Path] = {}
        for path in _files(directory):
            with _opened(path) as file:
                for name in file.keys():  # noqa: SIM118 (not a mapping)
                    if name in self._file_of:
                        raise CheckpointError(f"{name} is in both {self._file_of[name].name} and {path.name}")
                    self._file_of[name] = path
                    self.shapes[name] = tuple(file.get_slice(name).get_shape())

    def __len__(self) -> int:
        return len(self.shapes)

    def size(self) -> int:
        """Bytes of all files."""
        return sum(path.stat().st_size for path in set(self._file_of.values()))

    def read(self, names: Iterable[str]) -> Iterator[tuple[str, Tensor]]:
        """The named tensors one by one, file by file."""
        wanted = set(names)
        for path in dict.fromkeys(self._file_of.values()):
            mine = [name for name, home in self._file_of.items() if home == path and name in wanted]
            if mine:
                with _opened(path) as file:
                    for name in mine:
                        yield name, file.get_tensor(name)

    def get(self, name: str) -> Tensor:
        """One tensor."""
        return next(self.read([name]))[1]


def write_shards(directory: Path, tensors: Iterable[tuple[str, Tensor]], max_bytes: int) -> int:
    """Write a model's weights as they come, holding no more than one shard at a time.

    Args:
        directory: where ``model.safetensors`` goes, or shards and their index if they do not fit into one.
        tensors: name and tensor.
        max_bytes: of one shard; a tensor larger than that gets a shard of its own.

    Returns:
        Bytes of all tensors.

    Raises:
        OSError: They cannot be written.
    """
    written: list[tuple[Path, list[str]]] = []
    held: dict[str, Tensor] = {}
    size = total = 0

    def flush() -> None:
        nonlocal held, size
        path = directory / f"shard-{len(written)}"
        try:
            save_file({name: tensor.contiguous() for name, tensor in held.items()}, path, metadata={"format": "pt"})
        except SafetensorError as error:  # what it makes of every error of the operating system
            raise OSError(str(error)) from error
        written.append((path, list(held)))
        held, size = {}, 0

    for name, tensor in tensors:
        if held and size + tensor.nbytes > max_bytes:
            flush()
        held[name] = tensor
        size += tensor.nbytes
        total += tensor.nbytes
    flush()
    _name(directory, written, total)
    return total


def _name(directory: Path, written: list[tuple[Path, list[str]]], total: int) -> None:
    """Give the shards the names transformers looks for, now that their number is known."""
    if len(written) == 1:
        os.replace(written[0][0], directory / SINGLE)
        return
    weight_map: dict[str, str] = {}
    for i, (path, names) in enumerate(written, 1):
        final = f"model-{i:05}-of-{len(written):05}.safetensors"
        os.replace(path, directory / final)
        weight_map |= dict.fromkeys(names, final)
    index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(weight_map.items()))}
    (directory / INDEX).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")


def _files(directory: Path) -> list[Path]:
    if (directory / INDEX).is_file():
        shards = sorted(set(_weight_map(directory / INDEX).values()))
        missing = [name for name in shards if not (directory / name).is_file()]
        if missing:
            raise CheckpointError(
                explain(
                    f"{directory} is incomplete: {len(missing)} of {len(shards)} weight files are missing.",
                    missing=", ".join(missing[:5]),
                    to_do="copy the whole directory again",
                )
            )
        return [directory / name for name in shards]
    if (directory / SINGLE).is_file():
        return [directory / SINGLE]
    if loose := sorted(path for pattern in LOOSE for path in directory.glob(pattern)):
        return loose  # shards without an index, as a conversion by hand leaves them
    pickled = sorted(path.name for pattern in PICKLES for path in directory.glob(pattern))
    raise CheckpointError(
        explain(
            f"{directory} holds no safetensors weights.",
            looked_for=f"{SINGLE}, {INDEX} or {' or '.join(LOOSE)}",
            found=f"{', '.join(pickled[:3])}: pickled weights are never loaded, they can run code" if pickled else None,
            to_do=f"if you trust them, convert each FILE once: {CONVERSION}" if pickled else None,
        )
    )


def _weight_map(index: Path) -> Mapping[str, str]:
    found = read_json_object(index).get("weight_map")
    if not isinstance(found, dict):
        raise CheckpointError(explain(f"{index} is not an index of weight files.", because="it has no weight_map"))
    outside = [name for name in found.values() if not isinstance(name, str) or Path(name).name != name or "\0" in name]
    if outside:
        raise CheckpointError(f"{index} names files outside its directory: {outside[0]!r}")
    return dict(found)


def _opened(path: Path) -> Any:
    try:
        return safe_open(path, framework="pt")
    except (SafetensorError, OSError) as error:
        raise CheckpointError(explain(f"{path} is not a readable safetensors file.", because=error)) from error
