"""A low-rank map at some rows of a tensor, by hand: backward takes these rows again, so that no copy of them is kept.

    y = ((x A^T) * u) B,    x = given[positions]

What a training step keeps is then what LoRA keeps: the layer's input, which is there anyway and which the layers beside
it share, and the hidden units. Letters: ``layer_experts.py``.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn.functional import linear

__all__ = ["add_at", "can_take_again", "low_rank_at"]


def can_take_again(given: Tensor, compress: Tensor) -> bool:
    """Whether the map can run by hand: autocast and compilation have ways of their own.

    Args:
        given: The tensor that rows are taken of.
        compress: A parameter of the map.
    """
    autocast = torch.is_autocast_enabled(given.device.type)
    plain = type(given) in (Tensor, torch.nn.Parameter) and type(compress) in (Tensor, torch.nn.Parameter)
    return plain and not autocast and not torch.compiler.is_compiling()


def low_rank_at(given: Tensor, positions: Tensor, units: Tensor, compress: list[Tensor], down: list[Tensor]) -> Tensor:
    """The map at some rows.

    Args:
        given: Float tensor (M, in).
        positions: Int64 tensor (N,), each row at most once.
        units: Float tensor (N, K), the factor of every hidden unit.
        compress: Parts of A, (k, in) each, K rows together.
        down: Parts of B, (k, out) each, as many.

    Returns:
        (N, out), in the dtype of the parameters.
    """
    result: Tensor = _LowRankAt.apply(given, positions, units.to(compress[0].dtype), len(compress), *compress, *down)
    return result


def add_at(output: Tensor, positions: Tensor, added: Tensor) -> Tensor:
    """``output.index_add(0, positions, added)``, which keeps ``added`` for its backward pass; this one does not.

    Args:
        output: Float tensor (M, out).
        positions: Int64 tensor (N,), each row at most once.
        added: Float tensor (N, out).
    """
    if torch.compiler.is_compiling() or type(output) is not Tensor:
        return output.index_add(0, positions, added)
    result: Tensor = _AddAt.apply(output, positions, added)
    return result


class _AddAt(Function):
    @staticmethod
    def forward(ctx: Any, output: Tensor, positions: Tensor, added: Tensor) -> Tensor:
        ctx.save_for_backward(positions)
        return output.index_add(0, positions, added)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, Tensor | None]:
        (positions,) = ctx.saved_tensors
        return grad, None, grad.index_select(0, positions) if ctx.needs_input_grad[2] else None


class _LowRankAt(Function):
    @staticmethod
    def forward(ctx: Any, given: Tensor, positions: Tensor, units: Tensor, parts: int, *weights: Tensor) -> Tensor:
        compress, down = _whole(weights[:parts]), _whole(weights[parts:])
        hidden = linear(given.index_select(0, positions).to(compress.dtype), compress)  # (N, K)
        ctx.save_for_backward(given, positions, units, hidden, *weights)
        ctx.parts = parts
        return (hidden * units) @ down

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        given, positions, units, hidden, *weights = ctx.saved_tensors
        parts, (wants_given, _, wants_units, *_) = ctx.parts, ctx.needs_input_grad
        wanted = ctx.needs_input_grad[4:]
        compress, down = _whole(weights[:parts]), _whole(weights[parts:])
        scaled = grad @ down.t()  # (N, K), of hidden * units
        of_hidden = scaled * units
        of_given = of_compress = of_down = None
        if wants_given:
            rows = (of_hidden @ compress).to(given.dtype)
            of_given = torch.zeros_like(given).index_copy(0, positions, rows)
        if any(wanted[:parts]):
            of_compress = of_hidden.t() @ given.index_select(0, positions).to(compress.dtype)
        if any(wanted[parts:]):
            of_down = (hidden * units).t() @ grad
        sizes = [len(weight) for weight in weights[:parts]]
        pieces = [*_pieces(of_compress, sizes), *_pieces(of_down, sizes)]
        return of_given, None, scaled * hidden if wants_units else None, None, *pieces


def _whole(parts: Any) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(list(parts))


def _pieces(grad: Tensor | None, sizes: list[int]) -> list[Tensor | None]:
    return [None] * len(sizes) if grad is None else list(grad.split(sizes))
