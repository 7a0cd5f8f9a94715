"""Merged experts, forward and backward by hand: what ``merged_experts.py`` says in einsum (letters: ``types.py``).

    theta_i = sum_e p_ie theta_e    g = gate_i x    u = up_i x    y = down_i (silu(g) u)

A few items at a time are merged, so that the bank is read once for all of them; neighbours of one length share their
matrix products, and others run alone. ``g`` and ``u`` are kept for the backward pass, merged parameters are not.
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
    rows: slice  # their tokens


def _chunks(sizes: tuple[int, ...]) -> Iterator[tuple[slice, list[_Run]]]:
    """Items that are merged together, and the runs among them that have tokens."""
    row = 0
    for first in range(0, len(sizes), TOGETHER):
        chunk, runs, item = sizes[first : first + TOGETHER], [], 0
        for size, same in groupby(chunk):
            count = len(list(same))
            if size:
                runs.append(_Run(slice(item, item + count), slice(row, row + count * size)))
            item, row = item + count, row + count * size
        yield slice(first, first + len(chunk)), runs


class _MergedSwiGLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> Tensor:
        tokens, gate, up, down, weights, settings = inputs
        kept: list[Tensor] = []
        with autocast_off(tokens):
            x_all, shares = tokens.to(settings.dtype), weights.to(settings.dtype)
            out = torch.empty_like(x_all, memory_format=torch.contiguous_format)
            for items, runs in _chunks(settings.sizes):
                merged = [_merge(shares[items], theta) for theta in (gate, up, down)]
                for run in runs:
                    x = _by_item(x_all, run)
                    g, u = x @ merged[0][run.items].mT, x @ merged[1][run.items].mT  # (c, T, F)
                    a = times_silu(g, u, into=torch.empty_like(g) if settings.keep else g)
                    torch.bmm(a, merged[2][run.items], out=_by_item(out, run))
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
            for items, runs in _chunks(settings.sizes):
                merged = [_merge(shares[items], theta) for theta in (gate, up, down)]
                of_merged = [torch.zeros_like(theta) for theta in merged]
                for run in runs:
                    x, dy = _by_item(x_all, run), _by_item(grad, run)
                    gate_i, up_i, down_i = (theta[run.items] for theta in merged)
                    if settings.keep:
                        g, u = next(kept).to(settings.dtype), next(kept).to(settings.dtype)
                    else:
                        g, u = x @ gate_i.mT, x @ up_i.mT
                    da = dy @ down_i.mT
                    dg, du, a = times_silu_backward(da, g, u)
                    for place, left, right in zip(of_merged, (dg, du, a), (x, x, dy), strict=True):
                        torch.bmm(left.mT, right, out=place[run.items])
                    if wanted[0]:
                        into = _by_item(of_tokens, run)
                        torch.bmm(dg, gate_i, out=into)
                        torch.baddbmm(into, du, up_i, out=into)
                for theta, place, found in zip((gate, up, down), of_merged, of_bank, strict=True):
                    flat = place.flatten(1)  # (c, F D)
                    found.addmm_(shares[items].T, flat)
                    if wanted[4]:
                        of_shares[items].addmm_(flat, theta.flatten(1).to(settings.dtype).T)
        found_all = (of_tokens, *(f.view_as(t) for f, t in zip(of_bank, given[1:4], strict=True)), of_shares)
        return (*(f.to(t.dtype) if w else None for f, t, w in zip(found_all, given, wanted, strict=True)), None)


def _merge(shares: Tensor, theta: Tensor) -> Tensor:
    """(c, E) weights of (E, F, D) -> (c, F, D)"""
    return (shares @ theta.flatten(1).to(shares.dtype)).view(-1, *theta.shape[1:])


def _by_item(tokens: Tensor, run: _Run) -> Tensor:
    """(c, T, D), a view of the run's rows."""
    return tokens[run.rows].unflatten(0, (run.items.stop - run.items.start, -1))


def _differentiable_gradients(
    given: tuple[Tensor, ...], settings: _Settings, wanted: tuple[bool, ...], grad: Tensor
) -> list[Tensor | None]:
    with torch.enable_grad():
        tokens, *bank, weights = (tensor.to(settings.dtype) for tensor in given)
        parts = [tokens[:0] * weights.sum()]
        for items, runs in _chunks(settings.sizes):
            merged = [_merge(weights[items], theta) for theta in bank]
            for run in runs:
                gate, up, down = (theta[run.items] for theta in merged)
                x = _by_item(tokens, run)
                parts.append(((silu(x @ gate.mT) * (x @ up.mT)) @ down).flatten(0, 1))
        asked = [tensor for tensor, want in zip(given, wanted, strict=True) if want]
        found = torch.autograd.grad(torch.cat(parts), asked, grad, create_graph=True, materialize_grads=True)
        each = iter(found)
    return [next(each) if want else None for want in wanted]
