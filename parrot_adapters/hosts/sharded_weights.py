"""Weights that are cut up among processes.

FSDP2's and tensor parallelism's are tensors of torch's own (``DTensor``). DeepSpeed's ZeRO-3 leaves parameters without
values, which are there while a module runs or inside a block of :func:`whole_parameters`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

__all__ = [
    "any_sharded",
    "cut_like",
    "first_process_alone",
    "gathered",
    "gathered_all",
    "is_partitioned_by_zero",
    "is_sharded",
    "left_out_by_fsdp",
    "whole_parameters",
]


def is_sharded(tensor: Any) -> bool:
    """Whether a tensor is cut up among processes."""
    return hasattr(tensor, "full_tensor") or is_partitioned_by_zero(tensor)


def is_partitioned_by_zero(tensor: Any) -> bool:
    """Whether ZeRO-3 has cut a parameter up."""
    return hasattr(tensor, "ds_id")


@contextmanager
def whole_parameters(parameters: Iterable[Tensor]) -> Iterator[None]:
    """A block in which parameters that ZeRO-3 has cut up have their values, for which all processes enter it."""
    partitioned = [parameter for parameter in parameters if is_partitioned_by_zero(parameter)]
    if not partitioned:
        yield
        return
    import deepspeed

    with deepspeed.zero.GatheredParameters(partitioned):
        yield


def any_sharded(tensors: Iterable[Tensor]) -> bool:
    """Whether any of these is cut up among processes."""
    return any(map(is_sharded, tensors))


def left_out_by_fsdp(model: nn.Module, parameters: Iterable[Tensor]) -> list[Tensor]:
    """Those of some parameters that no FSDP2 unit of a model shares; they came after it was wrapped.

    A unit that runs has put whole tensors in place of its own, so what is there now does not tell.

    Args:
        model: With units inside, or one itself.
        parameters: To look for.
    """
    taken: set[int] = set()
    for module in model.modules():
        state_of: Any = getattr(module, "_get_fsdp_state", None)
        if state_of is None:
            continue
        state = state_of()
        groups = getattr(state, "_fsdp_param_groups", None)  # one alone, and by another name, before torch 2.12
        for group in groups if groups is not None else filter(None, [state._fsdp_param_group]):
            for shared in group.fsdp_params:
                taken |= {id(shared.sharded_param), id(getattr(shared, "_unsharded_param", None))}
    return [parameter for parameter in parameters if id(parameter) not in taken]


def gathered(tensor: Tensor) -> Tensor:
    """A tensor whole; where it is cut up, all processes call this."""
    if not hasattr(tensor, "full_tensor"):
        return tensor
    found: Tensor = tensor.full_tensor()
    return found


def gathered_all(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors by name, whole; where any is cut up, all processes call this."""
    return {name: gathered(value) for name, value in tensors.items()}


def cut_like(value: Tensor, like: Tensor) -> Tensor:
    """A whole value, which every process has, in the dtype, on the device and cut up as another tensor is."""
    value = gathered(value).to(device=like.device, dtype=like.dtype)
    if not hasattr(like, "full_tensor"):
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
