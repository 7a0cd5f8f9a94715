"""SwiGLU experts of sorted tokens as grouped products: where each expert's tokens end stays on the device.

As ``swiglu_passes.py``, forward and backward by hand, but nothing here knows how many tokens an expert has, so that
nothing waits for a GPU to say it. ``torch.nn.functional.grouped_mm`` multiplies all groups of rows in one call, each by
a matrix of its own. Only where it is asked for: on a CPU it is held against autograd, on a GPU it was never run, and
kernels there may want every expert's tokens to fill 16 bytes where backward sums over them. Letters: ``types.py``; M
pairs of a token and an expert it was given, k for each token.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from parrot_adapters.core.swiglu_passes import (
    SwiGLUWeights,
    autocast_off,
    backward_block,
    computed_in,
    kept_as,
    times_silu_block,
)

__all__ = ["GroupedTokens", "can_be_grouped", "grouped_swiglu"]


class GroupedTokens(NamedTuple):
    """Pairs of a token and an expert, in the order of the experts, all of it on their device."""

    rows: Tensor  # (M,) the token of each pair
    experts: Tensor  # (M,) its expert
    ends: Tensor  # (E,) int32, where the pairs of each expert end
    counts: Tensor  # (M,) bool, False where the pair is none: an expert named twice, or one that does not exist

    @classmethod
    def by_expert(cls, active: Tensor, num_experts: int) -> GroupedTokens:
        """Sort, without waiting for the device: M is N k, whatever the experts.

        Args:
            active: Numbers of each token's experts, (N, k) int64; a number that occurs twice counts once, and one
                that is no expert's is none.
            num_experts: E.
        """
        again = (active[:, :, None] == active[:, None, :]).tril(-1).any(-1)  # (N, k)
        counts = ~again & (active >= 0) & (active < num_experts)
        experts, order = active.clamp(0, num_experts - 1).flatten().sort(stable=True)
        numbers = torch.arange(num_experts, device=active.device)
        ends = torch.searchsorted(experts, numbers, right=True).to(torch.int32)
        return cls(order // active.shape[1], experts, ends, counts.flatten()[order])


def can_be_grouped(weight: Tensor) -> bool:
    """Whether this torch has grouped products of what a product with this weight is computed in here."""
    return hasattr(nn.functional, "grouped_mm") and computed_in(weight) != torch.float64


def grouped_swiglu(
    tokens: Tensor,
    bank: SwiGLUWeights,
    shares: Tensor,
    groups: GroupedTokens,
    *,
    item: Tensor | None = None,
    recompute: bool = False,
) -> Tensor:
    """Every pair's expert, times its share.

    Args:
        tokens: (M, D), sorted.
        bank: Parameters of all experts.
        shares: (M, 1) routing weights.
        groups: The pairs.
        item: (M,) int64, the item of each pair; read where the bank has a shift.
        recompute: Whether backward computes the hidden units again instead of forward keeping them.

    Returns:
        (M, D) in the dtype of the matrix products.
    """
    given = (tokens, bank.gate, bank.up, bank.down, shares, bank.shift)
    learns = torch.is_grad_enabled() and any(tensor is not None and tensor.requires_grad for tensor in given)
    settings = _Settings(computed_in(bank.gate), learns and not recompute, groups, item)
    result: Tensor = _GroupedSwiGLU.apply(*given, settings)
    return result


class _Settings(NamedTuple):
    dtype: torch.dtype
    keep: bool
    groups: GroupedTokens
    item: Tensor | None

    def multiply(self, left: Tensor, right: Tensor) -> Tensor:
        """(M, n) by (E, n, m) -> (M, m); (n, M) by (M, m) -> (E, n, m)."""
        found: Tensor = nn.functional.grouped_mm(left, right, offs=self.groups.ends)
        return found

    def gate_and_up(self, x: Tensor, gate: Tensor, up: Tensor, shift: Tensor | None) -> tuple[Tensor, Tensor]:
        """(M, F) each"""
        g, u = (self.multiply(x, theta.to(self.dtype).mT) for theta in (gate, up))
        return (g if shift is None else g + shift[self.item, self.groups.experts].to(self.dtype)), u


class _GroupedSwiGLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> Tensor:
        *given, settings = inputs
        tokens, gate, up, down, shares, shift = given
        with autocast_off(tokens):
            g, u = settings.gate_and_up(tokens.to(settings.dtype), gate, up, shift)
            a = times_silu_block(g, u, torch.empty_like(g) if settings.keep else g).mul_(shares.to(settings.dtype))
            kept = [h.to(kept_as(tokens, settings.dtype)) for h in (g, u)] if settings.keep else []
            ctx.settings = settings
            ctx.save_for_backward(*given, *kept)
            return settings.multiply(a, down.to(settings.dtype))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        given, kept = (saved := ctx.saved_tensors)[:6], saved[6:]
        wanted, settings = ctx.needs_input_grad[:6], ctx.settings
        with autocast_off(grad):
            if torch.is_grad_enabled():  # somebody differentiates the gradient
                return (*_differentiable_gradients(given, settings, wanted, grad), None)
            tokens, *matrices, shares, shift = given
            x, p, grad = (tensor.to(settings.dtype) for tensor in (tokens, shares, grad.contiguous()))
            gate, up, down = (theta.to(settings.dtype) for theta in matrices)
            g, u = (h.to(settings.dtype) for h in kept) if kept else settings.gate_and_up(x, gate, up, shift)
            dg, du, a, dp = (
                settings.multiply(grad, down.mT),
                torch.empty_like(u),
                torch.empty_like(u),
                torch.empty_like(p),
            )
            backward_block((dg, g, u, du, a, dp, p), wants_shares=wanted[4])
            found = [
                settings.multiply(dg, gate).add_(settings.multiply(du, up)) if wanted[0] else None,
                settings.multiply(dg.T, x) if wanted[1] else None,
                settings.multiply(du.T, x) if wanted[2] else None,
                settings.multiply(a.T, grad) if wanted[3] else None,
                dp,
                _of_shift(dg, shift, settings) if wanted[5] else None,
            ]
        each = zip(found, given, wanted, strict=True)
        return (*(f.to(t.dtype) if want and f is not None else None for f, t, want in each), None)


def _of_shift(dg: Tensor, shift: Tensor, settings: _Settings) -> Tensor:
    """(M, F) -> (I, E, F), the sum over the pairs of each item and expert."""
    items, experts, _ = shift.shape
    into = dg.new_zeros(items * experts, dg.shape[1], dtype=torch.promote_types(dg.dtype, torch.float32))
    assert settings.item is not None
    return into.index_add_(0, settings.item * experts + settings.groups.experts, dg.to(into.dtype)).view_as(shift)


def _differentiable_gradients(
    given: tuple[Tensor, ...], settings: _Settings, wanted: tuple[bool, ...], grad: Tensor
) -> list[Tensor | None]:
    with torch.enable_grad():
        tokens, gate, up, down, shares, shift = given
        g, u = settings.gate_and_up(tokens.to(settings.dtype), gate, up, shift)
        out = settings.multiply(silu(g) * u * shares.to(settings.dtype), down.to(settings.dtype))
        asked = [tensor for tensor, want in zip(given, wanted, strict=True) if want]
        found = iter(torch.autograd.grad(out, asked, grad, create_graph=True, materialize_grads=True))
    return [next(found) if want else None for want in wanted]
