"""SwiGLU experts, forward and backward by hand: what ``experts.py`` says in einsum, at the cost of its products.

Letters: ``types.py``. A span is some rows (visual tokens) and some experts that see them.

    g = gate x + shift_i    u = up x    a = silu(g) u    y = sum_e p_e down_e a_e

Autograd would keep five tensors of the size of ``g``, and pass over memory for each of them. Here ``g`` and ``u`` are
kept, or neither where they are to be computed again, and everything between two matrix products happens in place, in
blocks that stay in a processor's cache. The tests hold it to the einsum, gradients included.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor
from torch.autograd import forward_ad
from torch.nn.functional import silu

from parrot_adapters.core.products import add_product, product

__all__ = [
    "Span",
    "SwiGLUWeights",
    "autocast_off",
    "can_run_by_hand",
    "computed_in",
    "kept_as",
    "times_silu",
    "times_silu_backward",
    "weighted_swiglu",
]

PLAIN = (Tensor, nn.Parameter, FakeTensor)  # the last has no data: what a step would keep is measured with it
BLOCK = 65536  # hidden units in a block: what is read and written at once then stays in a usual second-level cache
PRODUCT = 1024  # hidden units that are worth a matrix product of their own on a CPU


class Span(NamedTuple):
    """Rows that a range of experts sees."""

    rows: slice
    experts: slice


class SwiGLUWeights(NamedTuple):
    """What a bank is made of: gate, up and down (E, F, D), and what is added to each item's gate, (I, E, F) or None."""

    gate: Tensor
    up: Tensor
    down: Tensor
    shift: Tensor | None = None


def can_run_by_hand(*tensors: Tensor | None) -> bool:
    """Whether :func:`weighted_swiglu` can take these: plain floating tensors on one CPU or GPU, outside of compiling,
    tracing, ``torch.func`` and forward-mode differentiation, all of which want operations they can look into.
    """
    if torch.compiler.is_compiling() or torch.jit.is_tracing():  # type: ignore[attr-defined]
        return False
    if torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0:
        return False
    given = [tensor for tensor in tensors if tensor is not None]
    plain = all(type(tensor) in PLAIN and tensor.is_floating_point() for tensor in given)
    devices = {tensor.device for tensor in given}
    return plain and len(devices) == 1 and devices.pop().type in ("cpu", "cuda")


def computed_in(weight: Tensor) -> torch.dtype:
    """The dtype in which a matrix product with this weight runs here: its own, or autocast's."""
    device = weight.device.type
    if torch.is_autocast_enabled(device) and weight.dtype != torch.float64:
        return torch.get_autocast_dtype(device)
    return weight.dtype


def kept_as(tokens: Tensor, dtype: torch.dtype) -> torch.dtype:
    """The dtype in which hidden units are kept: half where tokens came in half, which are no more exact themselves."""
    return torch.bfloat16 if dtype == torch.float32 and tokens.dtype.itemsize == 2 else dtype


def weighted_swiglu(
    tokens: Tensor,
    bank: SwiGLUWeights,
    shares: Tensor,
    spans: tuple[Span, ...] | None = None,
    *,
    item: Tensor | None = None,
    recompute: float = 0.0,
) -> Tensor:
    """The weighted sum of SwiGLU experts.

    Args:
        tokens: (M, D).
        bank: Parameters of all experts.
        shares: (M, E) routing weights; (M, 1) where ``spans`` gives every row one expert.
        spans: One expert for each range of rows, ranges end to end over all rows; None (default) is all experts for
            all rows.
        item: (M,) int64, the item of each row; read where the bank has a shift.
        recompute: Share of the hidden units that backward computes again instead of forward keeping them, 0 to 1.

    Returns:
        (M, D) in the dtype of :func:`computed_in`.
    """
    learns = torch.is_grad_enabled() and any(t.requires_grad for t in (tokens, shares, *bank) if t is not None)
    settings = _Settings(computed_in(bank.gate), learns, 1.0 - recompute, spans)
    return _WeightedSwiGLU.apply(tokens, bank.gate, bank.up, bank.down, shares, bank.shift, item, settings)


class _Settings(NamedTuple):
    dtype: torch.dtype  # of the matrix products
    learns: bool  # whether there will be a backward pass
    keep: float  # share of the hidden units that are kept for it
    one_each: tuple[Span, ...] | None  # one expert for each range of rows; None: all for all

    def spans(self, num_rows: int, num_experts: int, hidden_size: int, *, on_gpu: bool) -> tuple[tuple[Span, ...], int]:
        """All spans, and how many of them are kept. They are the same whether there will be a backward pass or not: a
        forward pass that is run again has the same bits.
        """
        if self.one_each is not None:
            return self.one_each, round(self.keep * len(self.one_each)) if self.learns else 0
        # Half precision cannot afford a sum that is rounded after every span, and a GPU likes few large products.
        step = num_experts if on_gpu or self.dtype.itemsize < 4 else max(1, PRODUCT // hidden_size)
        border = round(self.keep * num_experts)
        parts = (range(0, border, step), border), (range(border, num_experts, step), num_experts)
        each = [[Span(slice(0, num_rows), slice(e, min(e + step, end))) for e in firsts] for firsts, end in parts]
        return (*each[0], *each[1]), len(each[0]) if self.learns else 0


class _Work:
    """What both passes do: the inputs in the dtype of the products, by spans, with space that all spans share."""

    def __init__(
        self,
        settings: _Settings,
        tokens: Tensor,
        gate: Tensor,
        up: Tensor,
        down: Tensor,
        shares: Tensor,
        shift: Tensor | None,
        item: Tensor | None,
    ) -> None:
        self.dtype, self.matrices = settings.dtype, {"gate": gate, "up": up, "down": down}
        self.tokens, self.shares = tokens.to(self.dtype), shares.to(self.dtype)
        self.shift, self.item, self.alone = shift, item, settings.one_each is not None
        num_experts, self.hidden_size, _ = gate.shape
        self.spans, self.num_kept = settings.spans(
            tokens.shape[0], num_experts, self.hidden_size, on_gpu=tokens.is_cuda
        )
        self.kept_as = kept_as(tokens, self.dtype)
        self._space: dict[int, Tensor] = {}

    def space(self, number: int, span: Span) -> Tensor:
        """(n, e F) numbers left over from the span before."""
        shape = (_size(span.rows), _size(span.experts) * self.hidden_size)
        if number not in self._space:
            largest = max(_size(s.rows) * _size(s.experts) for s in self.spans) * self.hidden_size
            self._space[number] = self.tokens.new_empty(largest)
        return self._space[number][: shape[0] * shape[1]].view(shape)

    def matrix(self, name: str, span: Span) -> Tensor:
        """(e F, D)"""
        return self.matrices[name][span.experts].flatten(0, 1).to(self.dtype)

    def columns(self, span: Span) -> slice:
        """Where a span's routing weights stand in their rows."""
        return slice(0, 1) if self.alone else span.experts

    def gate_and_up(self, span: Span, *, new: bool = False) -> tuple[Tensor, Tensor]:
        """(n, e F) each; in new memory where they are to stay."""
        x, found = self.tokens[span.rows], []
        for number, name in enumerate(("gate", "up")):
            found.append(product(x, self.matrix(name, span).T, None if new else self.space(number, span)))
        if self.shift is not None and self.item is not None:
            found[0].add_(self.shift[:, span.experts].flatten(1).to(self.dtype)[self.item[span.rows]])
        return found[0], found[1]

    def blocks(self, span: Span, *units: Tensor, also: tuple[Tensor, ...] = ()) -> Iterator[tuple[Tensor, ...]]:
        """Pieces (m, e, F) of tensors (n, e F), then (m, e, 1) of those in ``also`` and of the routing weights."""
        experts, shares = _size(span.experts), self.shares[span.rows, self.columns(span)]
        rows = _rows_of_a_block(units[0])
        each = [tensor.view(-1, experts, self.hidden_size).split(rows) for tensor in units]
        return zip(*each, *(tensor[..., None].split(rows) for tensor in (*also, shares)), strict=True)

    def add_product(self, out: Tensor, span: Span, left: Tensor, right: Tensor) -> None:
        """Add ``left @ right`` to the span's rows of a sum that nothing was added to before the first span."""
        add_product(out[span.rows], left, right, first=self.alone or span.experts.start == 0)


class _WeightedSwiGLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> Tensor:
        *given, settings = inputs
        with autocast_off(given[0]):
            work = _Work(settings, *given)
            out = torch.empty_like(work.tokens, memory_format=torch.contiguous_format)
            kept: list[Tensor] = []
            for number, span in enumerate(work.spans):
                is_kept = number < work.num_kept
                g, u = work.gate_and_up(span, new=is_kept)
                a = work.space(2, span)
                for *block, p in work.blocks(span, g, u, a):
                    times_silu_block(*block).mul_(p)
                work.add_product(out, span, a, work.matrix("down", span))
                kept += [g.to(work.kept_as), u.to(work.kept_as)] if is_kept else []
        ctx.settings = settings
        ctx.save_for_backward(*given, *kept)
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        given, kept = (saved := ctx.saved_tensors)[:7], saved[7:]  # once: checkpointing lets them be read once only
        wanted = ctx.needs_input_grad[:6]
        with autocast_off(grad):
            if torch.is_grad_enabled():  # somebody differentiates the gradient; the einsum's own can be
                return (*_differentiable_gradients(given, ctx.settings, wanted, grad), None, None)
            work = _Work(ctx.settings, *given)
            grad = grad.to(work.dtype).contiguous()
            found = _Gradients(work, given, wanted)
            for number, span in enumerate(work.spans):
                if number < work.num_kept:
                    g, u = (tensor.to(work.dtype) for tensor in kept[2 * number : 2 * number + 2])
                else:
                    g, u = work.gate_and_up(span)
                da = product(grad[span.rows], work.matrix("down", span).T, work.space(2, span))
                du, a, dp = work.space(3, span), work.space(4, span), found.of_shares(span)
                for block in work.blocks(span, da, g, u, du, a, also=(dp,)):
                    backward_block(block, wants_shares=wanted[4])
                found.add(span, grad[span.rows], a, da, du)
            return (*found.all(), None, None)


class _Gradients:
    """The gradients that are wanted, filled span by span."""

    def __init__(self, work: _Work, given: tuple[Tensor | None, ...], wanted: tuple[bool, ...]) -> None:
        names = ("tokens", "gate", "up", "down", "shares", "shift")
        self.work, self.given = work, dict(zip(names, given, strict=False))
        self.wanted = {name for name, want in zip(names, wanted, strict=True) if want}
        self.found: dict[str, Tensor] = {}
        if "tokens" in self.wanted:
            self.found["tokens"] = torch.empty_like(work.tokens, memory_format=torch.contiguous_format)
        self.found["shares"] = torch.empty_like(work.shares)
        seen = {e for span in work.spans for e in range(*span.experts.indices(work.matrices["gate"].shape[0]))}
        for name in ("gate", "up", "down", "shift"):
            if name in self.wanted:
                like = self.given[name]
                assert like is not None
                self.found[name] = torch.empty_like(like, memory_format=torch.contiguous_format)
                experts = self.found[name].movedim(1, 0) if name == "shift" else self.found[name]
                for expert in set(range(experts.shape[0])) - seen:
                    experts[expert].zero_()

    def of_shares(self, span: Span) -> Tensor:
        """(n, e), to be filled."""
        return self.found["shares"][span.rows, self.work.columns(span)]

    def add(self, span: Span, dy: Tensor, a: Tensor, dg: Tensor, du: Tensor) -> None:
        x = self.work.tokens[span.rows]
        for name, left, right in (("gate", dg, x), ("up", du, x), ("down", a, dy)):
            if name in self.wanted:
                into = self.found[name][span.experts].flatten(0, 1)  # a view: the first two axes are contiguous
                if into.dtype == left.dtype:
                    torch.mm(left.T, right, out=into)
                else:
                    into.copy_(left.T @ right)
        if "tokens" in self.wanted:
            self.work.add_product(self.found["tokens"], span, dg, self.work.matrix("gate", span))
            add_product(self.found["tokens"][span.rows], du, self.work.matrix("up", span))
        if "shift" in self.wanted:
            item, shift = self.work.item, self.found["shift"]
            assert item is not None
            into = dg.new_zeros(shift.shape[0], dg.shape[1], dtype=torch.promote_types(dg.dtype, torch.float32))
            into.index_add_(0, item[span.rows], dg.to(into.dtype))
            shift[:, span.experts] = into.view(shift.shape[0], -1, shift.shape[2]).to(shift.dtype)

    def all(self) -> list[Tensor | None]:
        names = ("tokens", "gate", "up", "down", "shares", "shift")
        return [self._as_given(name) if name in self.wanted else None for name in names]

    def _as_given(self, name: str) -> Tensor:
        like = self.given[name]
        assert like is not None
        return self.found[name].to(like.dtype)


def _differentiable_gradients(
    given: tuple[Tensor, ...], settings: _Settings, wanted: tuple[bool, ...], grad: Tensor
) -> list[Tensor | None]:
    tokens, gate, up, down, shares, shift, item = given
    with torch.enable_grad():
        work = _Work(settings, *given)
        parts: list[Tensor] = []
        for span in work.spans:
            x = work.tokens[span.rows]
            g, u = (x @ work.matrix(name, span).T for name in ("gate", "up"))
            if shift is not None:
                g = g + shift[:, span.experts].flatten(1).to(work.dtype)[item[span.rows]]
            a = (silu(g) * u).view(x.shape[0], -1, work.hidden_size)
            a = a * work.shares[span.rows, work.columns(span), None]
            parts.append(a.flatten(1) @ work.matrix("down", span))
        out = torch.cat(parts) if work.alone else torch.stack(parts).sum(0)
        asked = [tensor for tensor, want in zip((tokens, gate, up, down, shares, shift), wanted, strict=True) if want]
        found = iter(torch.autograd.grad(out, asked, grad, create_graph=True, materialize_grads=True))
    return [next(found) if want else None for want in wanted]


def times_silu(g: Tensor, u: Tensor, *, into: Tensor) -> Tensor:
    """``silu(g) * u``, contiguous tensors of one shape; ``into`` may be ``g``."""
    flat = [tensor.view(-1, tensor.shape[-1]) for tensor in (g, u, into)]
    for block in zip(*(tensor.split(_rows_of_a_block(flat[0])) for tensor in flat), strict=True):
        times_silu_block(*block)
    return into


def times_silu_backward(da: Tensor, g: Tensor, u: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of ``g`` and ``u``, and ``silu(g) * u``; overwrites ``da``."""
    du, a = torch.empty_like(g), torch.empty_like(g)
    flat = [tensor.view(-1, tensor.shape[-1]) for tensor in (da, g, u, du, a)]
    for block in zip(*(tensor.split(_rows_of_a_block(flat[0])) for tensor in flat), strict=True):
        backward_block(block)
    return da, du, a


def times_silu_block(g: Tensor, u: Tensor, into: Tensor) -> Tensor:
    torch.ops.aten.silu.out(g, out=into)
    return into.mul_(u)


def backward_block(block: tuple[Tensor, ...], *, wants_shares: bool = False) -> None:
    """Of ``p a``, ``a = silu(g) u``, in place: turns ``da`` into the gradient of ``g``, and fills ``du``, ``p a`` into
    ``a``, and where it is wanted ``dp``. The block is ``(da, g, u, du, a)``, or those and ``(dp, p)``.
    """
    da, g, u, du, a, *weighted = block
    torch.ops.aten.silu.out(g, out=du)
    torch.mul(du, u, out=a)
    if weighted:
        dp, p = weighted
        if wants_shares:
            torch.sum(a * da, -1, keepdim=True, out=dp)
        a.mul_(p)
        da.mul_(p)
    du.mul_(da)
    da.mul_(u)
    torch.ops.aten.silu_backward.grad_input(da, g, grad_input=da)


def _rows_of_a_block(units: Tensor) -> int:
    """How many rows of hidden units stay in the cache together; all of them on a GPU, which has none to speak of."""
    if units.device.type != "cpu":
        return max(1, units.shape[0])
    return max(1, BLOCK * torch.get_num_threads() // max(1, units.shape[-1]))


def _size(part: slice) -> int:
    return int(part.stop) - int(part.start)


def autocast_off(tensor: Tensor) -> torch.autocast:
    """A context in which autocast changes no dtype."""
    return torch.autocast(tensor.device.type, enabled=False)
