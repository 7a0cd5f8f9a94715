"""Which weights and settings are these? Digests that do not depend on device, thread count or file layout."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from parrot_adapters.digests import file_digest

__all__ = ["directory_digest", "weights_digest"]

CHUNK = 2**22
PERIOD = 65521
"""Prime: positions that differ by less than this have weights of their own."""


def weights_digest(model: nn.Module) -> str:
    """A digest that every number of every tensor enters.

    A tensor's bits, read as integers x_i, enter as the sums of x_i and of x_i (1 + i mod 65521), both modulo 2^64:
    exact on any device and in any order, and two passes over the memory instead of a hash of gigabytes.
    """
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)} ".encode())
        for total in _sums(value.detach()):
            digest.update(f"{total} ".encode())
    return digest.hexdigest()


def directory_digest(directory: str | Path) -> str:
    """The sha256 of the weights and settings in a directory or, for a Hub name, of its cached copy."""
    folder = Path(directory)
    if not folder.is_dir():
        from huggingface_hub import snapshot_download

        folder = Path(snapshot_download(str(directory)))
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.suffix in (".json", ".safetensors"):
            digest.update(f"{path.relative_to(folder).as_posix()} ".encode())
            digest.update(bytes.fromhex(file_digest(path)))
    return digest.hexdigest()


WHOLE: dict[int, Any] = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


def _sums(value: Tensor) -> tuple[int, int]:
    if value.is_meta or not value.numel():
        return 0, 0
    flat = value.contiguous().flatten()
    if flat.is_complex():
        flat = torch.view_as_real(flat).flatten()
    bits = flat.view(WHOLE[flat.element_size()])
    plain, weighted = 0, 0
    for start in range(0, bits.numel(), CHUNK):
        part = bits[start : start + CHUNK].long()
        places = (torch.arange(start, start + part.numel(), device=part.device) % PERIOD) + 1
        plain += int(part.sum())
        weighted += int((part * places).sum())
    return plain % 2**64, weighted % 2**64
