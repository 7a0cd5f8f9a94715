"""Weights of a model directory, read and written a piece at a time: safetensors files, one or many with an index."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from functools import partial
from math import prod
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from parrot_adapters.bounded_json import read_json_object
from parrot_adapters.errors import CheckpointError, explain
from parrot_adapters.hosts.tensor_files import TensorSource, tensor_bytes, write_plain_tensor_file

__all__ = ["WeightFiles", "write_shards"]

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
LOOSE = ("model*.safetensors", "pytorch_model*.safetensors")
CONVERSION = (
    "state = torch.load(FILE, weights_only=True); safetensors.torch.save_file("
    "{name: value.clone().contiguous() for name, value in state.items()}, FILE + '.safetensors')"
)
PIECE = 1 << 20  # bytes that are held at a time, or one row
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
        self.dtypes: dict[str, torch.dtype] = {}
        self._places: dict[str, tuple[Path, int]] = {}
        for path in _files(directory):
            with _opened(path) as file:
                # Its tensors fill the file behind the header, in this order and without gaps.
                at = _header_size(path)
                for name in file.offset_keys():
                    if name in self._places:
                        raise CheckpointError(f"{name} is in both {self._places[name][0].name} and {path.name}")
                    form = _form(file, name, path)
                    self._places[name] = (path, at)
                    self.shapes[name], self.dtypes[name] = tuple(form.shape), form.dtype
                    at += form.nbytes

    def __len__(self) -> int:
        return len(self.shapes)

    def size(self) -> int:
        """Bytes of all files."""
        return sum(path.stat().st_size for path in {path for path, _ in self._places.values()})

    def source(self, name: str) -> TensorSource:
        """A tensor that is read while it is written elsewhere, some of its rows at a time."""
        return TensorSource(self.dtypes[name], self.shapes[name], partial(self._rows, name))

    def get(self, name: str) -> Tensor:
        """One tensor, mapped: only what is looked at is read. The file must stay as it is."""
        with _opened(self._places[name][0]) as file:
            found: Tensor = file.get_tensor(name)
            return found

    def _rows(self, name: str) -> Iterator[Tensor]:
        """A tensor, some of its rows at a time; read, since what is mapped counts as held while its file is open.

        Raises:
            CheckpointError: The file became shorter meanwhile.
        """
        (path, at), shape, dtype = self._places[name], self.shapes[name], self.dtypes[name]
        count, rest = (shape[0], shape[1:]) if shape else (1, ())
        row = prod(rest) * dtype.itemsize
        step = max(1, PIECE // max(1, row))
        with path.open("rb", buffering=0) as file:
            file.seek(at)
            for start in range(0, count, step):
                rows = min(step, count - start)
                value = torch.empty((rows, *rest) if shape else (), dtype=dtype)
                if file.readinto(tensor_bytes(value)) != value.nbytes:
                    raise CheckpointError(f"{path} became shorter while it was read")
                yield value


def write_shards(directory: Path, tensors: Mapping[str, TensorSource], max_bytes: int) -> int:
    """Write a model's weights, holding no more than a few rows at a time.

    Args:
        directory: where ``model.safetensors`` goes, or shards and their index if they do not fit into one.
        tensors: by name, in the order in which they are to stand in the shards.
        max_bytes: of one shard; a tensor larger than that gets a shard of its own.

    Returns:
        Bytes of all tensors.

    Raises:
        OSError: They cannot be written.
    """
    shards: list[dict[str, TensorSource]] = [{}]
    size = 0
    for name, source in tensors.items():
        if shards[-1] and size + source.nbytes > max_bytes:
            shards.append({})
            size = 0
        shards[-1][name] = source
        size += source.nbytes
    written: list[tuple[Path, list[str]]] = []
    for number, shard in enumerate(shards):
        path = directory / f"shard-{number}"
        write_plain_tensor_file(path, shard)
        written.append((path, list(shard)))
    total = sum(source.nbytes for source in tensors.values())
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


def _header_size(path: Path) -> int:
    with path.open("rb") as file:
        return 8 + int.from_bytes(file.read(8), "little")


def _form(file: Any, name: str, path: Path) -> Tensor:
    """A tensor whose shape and type are looked at; mapped, not read."""
    try:
        found: Tensor = file.get_tensor(name)
    except Exception as error:  # whatever safetensors and torch say of a type that they do not know
        raise CheckpointError(
            explain(f"{path} holds a tensor that cannot be read.", name=name, because=error)
        ) from error
    return found
