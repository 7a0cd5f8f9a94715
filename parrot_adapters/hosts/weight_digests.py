"""Which weights and settings are these? Digests that do not depend on device, thread count or file layout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from parrot_adapters.digests import bytes_digest, file_digest, text_digest

__all__ = ["directory_digest", "weights_digest"]

CHUNK = 2**22
PERIOD = 65521
"""Prime: positions that differ by less than this have weights of their own."""


def weights_digest(model: nn.Module) -> str:
    """A digest that every number of every tensor enters.

    A tensor's bits, read as integers x_i, enter as the sums of x_i and of x_i (1 + i mod 65521), both modulo 2^64:
    exact on any device and in any order, and two passes over the memory instead of a hash of gigabytes.
    """
    words = []
    for name, value in sorted(model.state_dict().items()):
        words += [f"{name} {value.dtype} {tuple(value.shape)} ", *(f"{total} " for total in _sums(value.detach()))]
    return text_digest("".join(words))


def directory_digest(directory: str | Path) -> str:
    """The sha256 of the weights and settings in a directory or, for a Hub name, of its cached copy."""
    folder = Path(directory)
    if not folder.is_dir():
        from huggingface_hub import snapshot_download

        folder = Path(snapshot_download(str(directory)))
    files = [p for p in sorted(folder.rglob("*")) if p.is_file() and p.suffix in (".json", ".safetensors")]
    return bytes_digest(
        f"{path.relative_to(folder).as_posix()} ".encode() + bytes.fromhex(file_digest(path)) for path in files
    )


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
