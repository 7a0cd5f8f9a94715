"""Merged experts, forward and backward by hand: what ``merged_experts.py`` says in einsum (letters: ``types.py``).

    theta_i = sum_e p_ie theta_e    g = gate_i x    u = up_i x    y = down_i (silu(g) u)

A few items at a time are merged, so that the bank is read once for all of them, and what lies between the products is
done for all of them at once; neighbours of one length share their matrix products, others have their own. ``g`` and
``u`` are kept for the backward pass, merged parameters are not.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import silu

from parrot_adapters.core.swiglu_passes import (
    autocast_off,
    computed_in,
    kept_as,
    times_silu,
    times_silu_backward,
)

__all__ = ["merged_swiglu"]

TOGETHER = 8  # items merged at a time: 3 F D numbers each


def merged_swiglu(
    tokens: Tensor,
    sizes: list[int],
    weights: Tensor,
    gate: Tensor,
    up: Tensor,
    down: Tensor,
    *,
    recompute: bool = False,
) -> Tensor:
    """Every item through the average of the experts under its weights.

    Args:
        tokens: (N, D).
        sizes: Number of tokens of each item, adding up to N.
        weights: (I, E).
        gate: (E, F, D).
        up: (E, F, D).
        down: (E, F, D).
        recompute: Whether backward computes the hidden units again instead of forward keeping them.

    Returns:
        (N, D) in the dtype of the matrix products.
    """
    given = (tokens, gate, up, down, weights)
    learns = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in given)
    dtype = computed_in(gate)
    settings = _Settings(tuple(sizes), dtype, learns and not recompute, kept_as(tokens, dtype))
    return _MergedSwiGLU.apply(*given, settings)


class _Settings(NamedTuple):
    sizes: tuple[int, ...]
    dtype: torch.dtype
    keep: bool
    kept_as: torch.dtype


class _Run(NamedTuple):
    """Neighbours of one length, some of the items that are merged together."""

    items: slice  # among those
    rows: slice  # their tokens, among those of the items that are merged together

    def tokens(self, rows: Tensor) -> Tensor:
        """Its part of (n, D) -> (T, D) of one item, (c, T, D) of several; a view."""
        count = self.items.stop - self.items.start
        return rows[self.rows] if count == 1 else rows[self.rows].unflatten(0, (count, -1))

    def merged(self, theta: Tensor) -> Tensor:
        """Its part of (c, F, D), without the first axis where it is one item; a view."""
        return theta[self.items.start] if self.items.stop - self.items.start == 1 else theta[self.items]


class _Chunk(NamedTuple):
    """Items that are merged together."""

    items: slice
    rows: slice
    runs: list[_Run]  # those that have tokens


def _chunks(sizes: tuple[int, ...]) -> Iterator[_Chunk]:
    row = 0
    for first in range(0, len(sizes), TOGETHER):
        together, runs, item, end = sizes[first : first + TOGETHER], [], 0, 0
        for size, same in groupby(together):
            count = len(list(same))
            if size:
                runs.append(_Run(slice(item, item + count), slice(end, end + count * size)))
            item, end = item + count, end + count * size
        yield _Chunk(slice(first, first + len(together)), slice(row, row + end), runs)
        row += end


class _MergedSwiGLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> Tensor:
        tokens, gate, up, down, weights, settings = inputs
        kept: list[Tensor] = []
        with autocast_off(tokens):
            x_all, shares = tokens.to(settings.dtype), weights.to(settings.dtype)
            out = torch.empty_like(x_all, memory_format=torch.contiguous_format)
            for items, rows, runs in _chunks(settings.sizes):
                merged = [_merge(shares[items], theta) for theta in (gate, up, down)]
                g, u = _gate_and_up(x_all[rows], runs, *merged[:2])
                a = times_silu(g, u, into=torch.empty_like(g) if settings.keep else g)
                _multiply(runs, a, merged[2], out[rows])
                kept += [g.to(settings.kept_as), u.to(settings.kept_as)] if settings.keep else []
        ctx.settings = settings
        ctx.save_for_backward(tokens, gate, up, down, weights, *kept)
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        given, kept = (saved := ctx.saved_tensors)[:5], iter(saved[5:])
        wanted, settings = ctx.needs_input_grad[:5], ctx.settings
        with autocast_off(grad):
            if torch.is_grad_enabled():  # somebody differentiates the gradient
                return (*_differentiable_gradients(given, settings, wanted, grad), None)
            tokens, gate, up, down, weights = given
            x_all, shares = tokens.to(settings.dtype), weights.to(settings.dtype)
            grad = grad.to(settings.dtype).contiguous()
            of_tokens = torch.zeros_like(x_all, memory_format=torch.contiguous_format)
            of_bank = [torch.zeros_like(theta, dtype=settings.dtype).flatten(1) for theta in (gate, up, down)]
            of_shares = torch.zeros_like(shares)
            for items, rows, runs in _chunks(settings.sizes):
                merged = [_merge(shares[items], theta) for theta in (gate, up, down)]
                x, dy = x_all[rows], grad[rows]
                if settings.keep:
                    g, u = next(kept).to(settings.dtype), next(kept).to(settings.dtype)
                else:
                    g, u = _gate_and_up(x, runs, *merged[:2])
                da = torch.empty_like(g)
                _multiply(runs, dy, merged[2].mT, da)
                dg, du, a = times_silu_backward(da, g, u)
                if wanted[0]:
                    _multiply(runs, dg, merged[0], of_tokens[rows])
                    _multiply(runs, du, merged[1], of_tokens[rows], add=True)
                place = torch.empty_like(merged[0])
                for theta, left, right, found in zip((gate, up, down), (dg, du, a), (x, x, dy), of_bank, strict=True):
                    _outer(runs, left, right, place)
                    flat = place.flatten(1)  # (c, F D)
                    found.addmm_(shares[items].T, flat)
                    if wanted[4]:
                        of_shares[items].addmm_(flat, theta.flatten(1).to(settings.dtype).T)
        found_all = (of_tokens, *(f.view_as(t) for f, t in zip(of_bank, given[1:4], strict=True)), of_shares)
        return (*(f.to(t.dtype) if w else None for f, t, w in zip(found_all, given, wanted, strict=True)), None)


def _merge(shares: Tensor, theta: Tensor) -> Tensor:
    """(c, E) weights of (E, F, D) -> (c, F, D)"""
    return (shares @ theta.flatten(1).to(shares.dtype)).view(-1, *theta.shape[1:])


def _gate_and_up(x: Tensor, runs: list[_Run], gate: Tensor, up: Tensor) -> tuple[Tensor, Tensor]:
    """(n, D) through (c, F, D) each -> (n, F) each"""
    found = tuple(x.new_empty(x.shape[0], gate.shape[1]) for _ in range(2))
    for theta, out in zip((gate, up), found, strict=True):
        _multiply(runs, x, theta.mT, out)
    return found[0], found[1]


def _multiply(runs: list[_Run], rows: Tensor, theta: Tensor, out: Tensor, *, add: bool = False) -> None:
    """Each item's rows times its own matrix, into those of ``out``, or added to them."""
    for run in runs:
        left, right, into = run.tokens(rows), run.merged(theta), run.tokens(out)
        if not add:
            torch.matmul(left, right, out=into)
        elif left.dim() == 2:
            torch.addmm(into, left, right, out=into)
        else:
            torch.baddbmm(into, left, right, out=into)


def _outer(runs: list[_Run], left: Tensor, right: Tensor, out: Tensor) -> None:
    """Each item's ``left^T right``: (n, F) and (n, D) -> (c, F, D), zero for items without tokens."""
    if sum(run.items.stop - run.items.start for run in runs) < out.shape[0]:
        out.zero_()
    for run in runs:
        torch.matmul(run.tokens(left).mT, run.tokens(right), out=run.merged(out))


def _differentiable_gradients(
    given: tuple[Tensor, ...], settings: _Settings, wanted: tuple[bool, ...], grad: Tensor
) -> list[Tensor | None]:
    with torch.enable_grad():
        tokens, *bank, weights = (tensor.to(settings.dtype) for tensor in given)
        parts = [tokens[:0] * weights.sum()]
        for items, rows, runs in _chunks(settings.sizes):
            merged = [_merge(weights[items], theta) for theta in bank]
            for run in runs:
                gate, up, down = (run.merged(theta) for theta in merged)
                x = run.tokens(tokens[rows])
                parts.append(((silu(x @ gate.mT) * (x @ up.mT)) @ down).view(-1, tokens.shape[1]))
        asked = [tensor for tensor, want in zip(given, wanted, strict=True) if want]
        found = torch.autograd.grad(torch.cat(parts), asked, grad, create_graph=True, materialize_grads=True)
        each = iter(found)
    return [next(each) if want else None for want in wanted]
