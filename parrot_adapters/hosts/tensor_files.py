"""Safetensors files written and read in one pass: summed, and looked at, while the bytes go by.

Writing makes the file that ``safetensors.torch.save_file`` makes, byte for byte, without a copy of the tensors and
without reading the file again. Reading copies each tensor into memory of its own. It does not map the file: a program
that writes a mapped file in place (``cp``, ``save_file``) would change or kill the model that was loaded from it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from parrot_adapters.digests import Checksum

__all__ = [
    "ReadTensors",
    "TensorSource",
    "read_tensor_file",
    "tensor_bytes",
    "write_plain_tensor_file",
    "write_tensor_file",
]

PIECE = 1 << 22  # bytes that are read or written, summed and looked at at a time
CHECKED = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
METADATA = {"format": "pt"}


def tensor_bytes(tensor: Tensor) -> memoryview:
    """The memory of a contiguous tensor on the CPU, to read from or to write to."""
    whole: Any = tensor.view(-1).view(torch.uint8).numpy()
    return memoryview(whole)


@dataclass(frozen=True)
class TensorSource:
    """A tensor that is made while it is written.

    Attributes:
        dtype: Its type.
        shape: Its shape.
        pieces: Makes it anew: tensors of that type, which one after the other are its elements in order.
    """

    dtype: torch.dtype
    shape: tuple[int, ...]
    pieces: Callable[[], Iterable[Tensor]]

    @property
    def nbytes(self) -> int:
        """Its size in bytes."""
        return prod(self.shape) * self.dtype.itemsize

    @staticmethod
    def of(tensor: Tensor) -> TensorSource:
        """A tensor that is there, on any device; only one at a time is copied to the CPU."""
        return TensorSource(tensor.dtype, tuple(tensor.shape), lambda: [tensor])


def write_tensor_file(path: Path, tensors: Mapping[str, Tensor | TensorSource]) -> str:
    """Write a safetensors file, and make its checksum on the way.

    Args:
        path: File to write.
        tensors: Its tensors by name. Those that share memory are written each in full.

    Returns:
        The :class:`Checksum` of the file.

    Raises:
        OSError: It cannot be written.
    """
    checksum = Checksum()
    with path.open("wb", buffering=0) as file:
        for piece in _contents(tensors):
            checksum.update(piece)
            _write(file, piece)
    return checksum.text()


def write_plain_tensor_file(path: Path, tensors: Mapping[str, Tensor | TensorSource]) -> None:
    """Write a safetensors file without a checksum; arguments and errors as of :func:`write_tensor_file`."""
    with path.open("wb", buffering=0) as file:
        for piece in _contents(tensors):
            _write(file, piece)


@dataclass(frozen=True, eq=False)
class ReadTensors:
    """What was in a safetensors file.

    Attributes:
        tensors: By name.
        checksum: That of the file.
        not_finite: Names of the tensors that hold NaN or infinity.
    """

    tensors: dict[str, Tensor]
    checksum: str
    not_finite: tuple[str, ...]


def read_tensor_file(path: Path, like: str | None = None) -> ReadTensors:
    """Read a safetensors file, each byte once. The tensors are on the CPU, writable, and independent of the file.

    Args:
        path: File to read.
        like: The :class:`Checksum` that it should have; None for any.

    Raises:
        OSError: It cannot be read.
        SafetensorError: It is no such file. What else safetensors and torch raise for types that they do not know.
    """
    tensors: dict[str, Tensor] = {}
    broken: list[str] = []
    checksum = Checksum(like)
    with path.open("rb", buffering=0) as file, safe_open(path, framework="pt") as mapped:
        # The library has checked the header by now: tensors fill the rest of the file in this order, without gaps.
        length = bytearray(8)
        _read(file, memoryview(length), checksum)
        _read(file, memoryview(bytearray(int.from_bytes(length, "little"))), checksum)
        for name in mapped.offset_keys():
            form = mapped.get_tensor(name)  # mapped, not read
            tensors[name] = value = torch.empty(form.shape, dtype=form.dtype)
            if not _fill(value, file, checksum):
                broken.append(name)
        return ReadTensors(tensors, checksum.text(), tuple(broken))


def _fill(value: Tensor, file: BinaryIO, checksum: Checksum) -> bool:
    """Read a tensor's bytes into it; whether all of them are finite numbers."""
    flat = value.view(-1)
    room, step = tensor_bytes(value), PIECE // value.itemsize
    finite = True
    for start in range(0, flat.numel(), step):
        _read(file, room[start * value.itemsize : (start + step) * value.itemsize], checksum)
        if value.dtype in CHECKED:  # ten times as fast as isfinite().all()
            finite &= all(end.isfinite() for end in torch.aminmax(flat[start : start + step]))
    return finite


def _read(file: BinaryIO, room: memoryview, checksum: Checksum) -> None:
    """Fill all of a buffer from a file.

    Raises:
        OSError: The file ends before.
    """
    done = 0
    while done < len(room):
        count = file.readinto(room[done:])  # type: ignore[attr-defined]
        if not count:
            raise OSError("the file became shorter while it was read")
        done += count
    checksum.update(room)


def _contents(tensors: Mapping[str, Tensor | TensorSource]) -> Iterator[memoryview]:
    """The bytes of a file, a piece at a time."""
    sources = {name: TensorSource.of(one) if isinstance(one, Tensor) else one for name, one in tensors.items()}
    names, head = _head(sources)
    yield memoryview(head)
    for name in names:
        source, made = sources[name], 0
        for tensor in source.pieces():
            whole = tensor_bytes(tensor.detach().cpu().contiguous())
            yield from (whole[start : start + PIECE] for start in range(0, len(whole), PIECE))
            made += len(whole)
        if made != source.nbytes:
            raise ValueError(f"{name} has {source.nbytes} bytes, {made} were made")


def _head(sources: Mapping[str, TensorSource]) -> tuple[list[str], bytes]:
    """Names in the order of the file, and what stands before the tensors.

    The order, and what types are called, are those of the library: it is asked about empty tensors.
    """
    asked = save({name: torch.empty(0, dtype=one.dtype) for name, one in sources.items()}, metadata=METADATA)
    header = json.loads(asked[8:])
    names, end = [name for name in header if name in sources], 0
    for name in names:
        begin, end = end, end + sources[name].nbytes
        header[name] |= {"shape": list(sources[name].shape), "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return names, len(text).to_bytes(8, "little") + text


def _write(file: BinaryIO, piece: memoryview) -> None:
    while piece:
        piece = piece[file.write(piece) :]
