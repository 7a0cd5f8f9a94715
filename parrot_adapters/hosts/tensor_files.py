"""Safetensors files written and read in one pass: hashed, and looked at, while the bytes go by.

Writing makes the file that ``safetensors.torch.save_file`` makes, byte for byte, without a copy of the tensors and
without reading the file again. Reading copies each tensor into memory of its own. It does not map the file: a program
that writes a mapped file in place (``cp``, ``save_file``) would change or kill the model that was loaded from it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

__all__ = [
    "ReadTensors",
    "TensorSource",
    "read_tensor_file",
    "tensor_bytes",
    "write_plain_tensor_file",
    "write_tensor_file",
]

PIECE = 1 << 22  # bytes that are read or written, hashed and looked at at a time
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
    """Write a safetensors file, and hash it on the way.

    Args:
        path: File to write.
        tensors: Its tensors by name. Those that share memory are written each in full.

    Returns:
        SHA-256 of the file.

    Raises:
        OSError: It cannot be written.
    """
    with path.open("wb", buffering=0) as file, _Hashing() as hashing:
        for piece in _contents(tensors):
            hashing.add(piece)
            _write(file, piece)
            hashing.wait()  # what made the piece may use its memory again
        return hashing.digest()


def write_plain_tensor_file(path: Path, tensors: Mapping[str, Tensor | TensorSource]) -> None:
    """Write a safetensors file without hashing it; arguments and errors as of :func:`write_tensor_file`."""
    with path.open("wb", buffering=0) as file:
        for piece in _contents(tensors):
            _write(file, piece)


@dataclass(frozen=True, eq=False)
class ReadTensors:
    """What was in a safetensors file.

    Attributes:
        tensors: By name.
        digest: SHA-256 of the file.
        not_finite: Names of the tensors that hold NaN or infinity.
    """

    tensors: dict[str, Tensor]
    digest: str
    not_finite: tuple[str, ...]


def read_tensor_file(path: Path) -> ReadTensors:
    """Read a safetensors file, each byte once. The tensors are on the CPU, writable, and independent of the file.

    Args:
        path: File to read.

    Raises:
        OSError: It cannot be read.
        SafetensorError: It is no such file. What else safetensors and torch raise for types that they do not know.
    """
    tensors: dict[str, Tensor] = {}
    broken: list[str] = []
    with path.open("rb", buffering=0) as file, safe_open(path, framework="pt") as mapped, _Hashing() as hashing:
        # The library has checked the header by now: tensors fill the rest of the file in this order, without gaps.
        length = bytearray(8)
        _read(file, memoryview(length), hashing)
        _read(file, memoryview(bytearray(int.from_bytes(length, "little"))), hashing)
        for name in mapped.offset_keys():
            form = mapped.get_tensor(name)  # mapped, not read
            tensors[name] = value = torch.empty(form.shape, dtype=form.dtype)
            if not _fill(value, file, hashing):
                broken.append(name)
        return ReadTensors(tensors, hashing.digest(), tuple(broken))


class _Hashing:
    """SHA-256 of pieces in order, in a thread of its own: it takes as long as all else that happens to them."""

    def __init__(self) -> None:
        self._digest, self._thread = hashlib.sha256(), ThreadPoolExecutor(1, thread_name_prefix="sha256")
        self._last: Future[None] | None = None

    def __enter__(self) -> _Hashing:
        return self

    def __exit__(self, *exception: object) -> None:
        self._thread.shutdown()

    def add(self, piece: memoryview) -> None:
        """Hash a piece, which stays as it is until :meth:`wait`."""
        self._last = self._thread.submit(self._digest.update, piece)

    def wait(self) -> None:
        """Until every piece is hashed."""
        if self._last is not None:
            self._last.result()

    def digest(self) -> str:
        """Of all pieces, in hexadecimal letters."""
        self.wait()
        return self._digest.hexdigest()


def _fill(value: Tensor, file: BinaryIO, hashing: _Hashing) -> bool:
    """Read a tensor's bytes into it; whether all of them are finite numbers."""
    flat = value.view(-1)
    room, step = tensor_bytes(value), PIECE // value.itemsize
    finite = True
    for start in range(0, flat.numel(), step):
        _read(file, room[start * value.itemsize : (start + step) * value.itemsize], hashing)
        if value.dtype in CHECKED:  # ten times as fast as isfinite().all()
            finite &= all(end.isfinite() for end in torch.aminmax(flat[start : start + step]))
    return finite


def _read(file: BinaryIO, room: memoryview, hashing: _Hashing) -> None:
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
    hashing.add(room)


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
