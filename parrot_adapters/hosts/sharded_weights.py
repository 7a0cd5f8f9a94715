"""Weights that are cut up among processes: FSDP2's and tensor parallelism's, as torch has them (``DTensor``)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import Tensor

__all__ = ["any_sharded", "cut_like", "first_process_alone", "gathered", "gathered_all", "is_sharded"]


def is_sharded(tensor: Any) -> bool:
    """Whether a tensor is cut up among processes."""
    return hasattr(tensor, "full_tensor")


def any_sharded(tensors: Iterable[Tensor]) -> bool:
    """Whether any of these is cut up among processes."""
    return any(map(is_sharded, tensors))


def gathered(tensor: Tensor) -> Tensor:
    """A tensor whole; where it is cut up, all processes call this."""
    if not is_sharded(tensor):
        return tensor
    found: Tensor = tensor.full_tensor()  # type: ignore[attr-defined]
    return found


def gathered_all(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors by name, whole; where any is cut up, all processes call this."""
    return {name: gathered(value) for name, value in tensors.items()}


def cut_like(value: Tensor, like: Tensor) -> Tensor:
    """A whole value, which every process has, in the dtype, on the device and cut up as another tensor is."""
    value = gathered(value).to(device=like.device, dtype=like.dtype)
    if not is_sharded(like):
        return value
    from torch.distributed.tensor import DTensor, distribute_tensor

    assert isinstance(like, DTensor)
    return distribute_tensor(value, like.device_mesh, like.placements, src_data_rank=None)


@contextmanager
def first_process_alone() -> Iterator[bool]:
    """Say which process is the first; the others wait at the end of the block until it is done."""
    from torch import distributed

    try:
        yield distributed.get_rank() == 0
    finally:
        distributed.barrier()
