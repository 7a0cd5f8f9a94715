"""Expert banks, against their own matrix products and against what somebody would write instead.

One forward and backward pass of the bank alone, four pictures of 577 tokens, six experts, float32. ``bare`` is the nine
matrix products that forward and backward cannot do without; ``plain loop`` runs each expert on everything and adds up;
``stacked module`` is a module as released code has it (``nn.Linear`` experts, outputs stacked and weighted). Kept is
what autograd holds for the backward pass, beside parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from harness import Options, Row, compare, rows_of, saved_bytes
from torch import Tensor, nn
from torch.nn.functional import silu

from parrot_adapters.core import (
    ExpertBank,
    LowRankExperts,
    MergedExperts,
    Routing,
    SwiGLUExperts,
    keep_top_k,
    offsets_from_lengths,
    spread,
)
from parrot_adapters.core.products import product

COVERS = ("parrot_adapters/core/",)

ITEMS, PER_ITEM, EXPERTS = 4, 577, 6


def measure(options: Options) -> Iterator[Row]:
    """Rows of two widths, and of many experts."""
    for width in (256,) if options.tiny else (512, 1024):
        yield from one_product(width, options)
        yield from of_width(width, options)
    yield from many_experts(64 if options.tiny else 512, options)
    yield from ragged(64 if options.tiny else 512, options)


def one_product(width: int, options: Options) -> Iterator[Row]:
    case, weight = Case(width, options), torch.randn(width, width).to(options.device) * 0.02
    x, weight = case.tokens.detach(), weight.to(case.dtype)
    found = compare({"torch.mm": lambda: torch.mm(x, weight), "one product": lambda: product(x, weight)}, options)
    limits: dict[tuple[str, str], float | None] = {("one product", "torch.mm"): None}
    yield from rows_of(found, limits, settings=f"{len(x)} x {width} by {width} x {width}, {case.kind}")


def of_width(width: int, options: Options) -> Iterator[Row]:
    case = Case(width, options)
    bank, loop, stacked = case.bank(), PlainLoop(width, width, EXPERTS), StackedModule(width, width, EXPERTS)
    by_autograd, again = case.bank(by_hand=False), case.bank(recompute=True)
    keeps_all, merged = case.bank(recompute=False), case.ready(MergedExperts(width, width, EXPERTS))
    low_rank = case.ready(LowRankExperts(width, width // 16, EXPERTS))
    for other in (loop, stacked):
        other.to(options.device, case.dtype)
    runs: dict[str, Callable[[], object]] = {
        "dense": case.step(bank),
        "its bare matrix products": case.products(),
        "plain loop": case.step(loop),
        "stacked module": case.step(stacked),
        "dense by autograd": case.step(by_autograd),
        "dense, recompute=True": case.step(again),
        "dense, recompute=False": case.step(keeps_all),
        "top-2": case.step(bank, keep_top_k(case.routing, 2)),
        "top-1": case.step(bank, keep_top_k(case.routing, 1)),
        "merged": case.step(merged),
        "low-rank, F/16": case.step(low_rank),
    }
    found = compare(runs, options)
    limits = {
        ("dense", "its bare matrix products"): 1.05 if width >= 1024 else 1.10,
        ("dense", "plain loop"): 1.0,
        ("dense", "stacked module"): 1.0,
        ("dense", "dense by autograd"): None,
        ("dense, recompute=True", "dense"): 1.4,
        ("dense, recompute=False", "its bare matrix products"): None,
        ("top-2", "dense"): 0.40,
        ("top-1", "dense"): 0.22,
        ("merged", "dense"): 0.30,
        ("low-rank, F/16", "dense"): None,
    }
    yield from rows_of(found, limits, settings=f"D=F={width}, E={EXPERTS}, {ITEMS} x {PER_ITEM}, {case.kind}")
    plain = case.kept(stacked)
    for name, made, limit in (
        ("dense", bank, 0.32),
        ("dense, recompute=True", again, 0.08),
        ("dense, recompute=False", keeps_all, None),
        ("dense by autograd", by_autograd, None),
        ("plain loop", loop, None),
        ("merged", merged, None),
    ):
        settings = f"kept for backward, D=F={width}, E={EXPERTS}, {case.kind}"
        yield Row(name, "stacked module", case.kept(made) / plain, limit, settings=settings)


def many_experts(width: int, options: Options) -> Iterator[Row]:
    case, few = Case(width, options, experts=64, items=64, per_item=36), Case(width, options, items=64, per_item=36)
    runs = {
        "top-1 of 64": case.step(case.bank(), keep_top_k(case.routing, 1)),
        "top-1 of 6": few.step(few.bank(), keep_top_k(few.routing, 1)),
        "its bare matrix products": case.products_of_each(),
        "bare products of 64, into memory at hand": case.products_of_each(new_memory=False),
        "bare products of 6, into memory at hand": few.products_of_each(new_memory=False),
        "bare products of 64 in one batch": case.products_in_a_batch(),
        "top-1 of 64, a slice for each": case.step(case.ready(Sliced(width, width, 64)), keep_top_k(case.routing, 1)),
    }
    limits = {
        ("top-1 of 64", "top-1 of 6"): 1.1,
        ("top-1 of 64", "its bare matrix products"): None,
        ("bare products of 64, into memory at hand", "bare products of 6, into memory at hand"): None,
        ("bare products of 64 in one batch", "bare products of 6, into memory at hand"): None,
        ("its bare matrix products", "bare products of 64, into memory at hand"): None,
        ("top-1 of 64, a slice for each", "top-1 of 6"): None,
    }
    yield from rows_of(compare(runs, options), limits, settings=f"D=F={width}, 64 x 36 tokens, {case.kind}")


def ragged(width: int, options: Options) -> Iterator[Row]:
    items = 32
    uniform = Case(width, options, items=items, per_item=96)
    sizes = torch.arange(items) + 96 - items // 2
    sizes[0] += items * 96 - int(sizes.sum())
    uneven = Case(width, options, sizes=sizes.tolist())
    bank = uniform.ready(MergedExperts(width, width, EXPERTS))
    by_autograd = uniform.ready(MergedExperts(width, width, EXPERTS, by_hand=False))
    runs = {
        "merged, every size another": uneven.step(bank),
        "merged, one size": uniform.step(bank),
        "by autograd, every size another": uneven.step(by_autograd),
    }
    settings = f"D=F={width}, E={EXPERTS}, {items} items, {items * 96} tokens, {uniform.kind}"
    limits = {
        ("merged, every size another", "merged, one size"): 1.05,
        ("by autograd, every size another", "merged, one size"): None,
    }
    yield from rows_of(compare(runs, options), limits, settings=settings)


class Case:
    """Tokens, routing and banks of one shape."""

    def __init__(
        self,
        width: int,
        options: Options,
        *,
        experts: int = EXPERTS,
        items: int = ITEMS,
        per_item: int = PER_ITEM,
        sizes: list[int] | None = None,
    ) -> None:
        self.width, self.experts, self.device = width, experts, options.device
        self.dtype = torch.float32 if options.device == "cpu" else torch.bfloat16
        self.kind = str(self.dtype).removeprefix("torch.")
        generator = torch.Generator().manual_seed(0)
        sizes = [per_item] * items if sizes is None else sizes
        self.offsets = offsets_from_lengths(torch.tensor(sizes)).to(self.device)
        tokens = torch.randn(sum(sizes), width, generator=generator)
        self.tokens = tokens.to(self.device, self.dtype).requires_grad_()
        self.grad = torch.randn(sum(sizes), width, generator=generator).to(self.device, self.dtype)
        # Each item has a favourite, so that top-1 uses every expert alike.
        logits = 4 * nn.functional.one_hot(torch.arange(len(sizes)) % experts, experts).float()
        logits = (logits + torch.randn(len(sizes), experts, generator=generator)).to(self.device)
        self.routing = Routing(logits.softmax(-1).requires_grad_(), logits)

    def bank(self, **options: Any) -> ExpertBank:
        return self.ready(SwiGLUExperts(self.width, self.width, self.experts, **options))

    def ready(self, bank: ExpertBank) -> ExpertBank:
        nn.init.normal_(bank.down, std=bank.hidden_size**-0.5)
        return bank.to(self.device, self.dtype)

    def step(self, bank: nn.Module, routing: Routing | None = None) -> Callable[[], object]:
        """Forward and backward, gradients made anew."""
        leaves = [self.tokens, self.routing.weights, *bank.parameters()]
        chosen = self.routing if routing is None else routing._replace(weights=routing.weights.detach())

        def once() -> None:
            for leaf in leaves:
                leaf.grad = None
            bank(self.tokens, self.offsets, chosen).backward(self.grad)

        return once

    def products(self) -> Callable[[], object]:
        """The nine matrix products of the dense bank, wide, and nothing else."""
        x, dy = self.tokens.detach(), self.grad
        gate, up, down = (torch.randn(self.experts * self.width, self.width).to(x) * 0.02 for _ in range(3))

        def once() -> None:
            g, u = x @ gate.T, x @ up.T
            g @ down
            dh = dy @ down.T
            g.T @ dy, dh.T @ x, u.T @ x
            dx = dh @ gate
            torch.addmm(dx, u, up, out=dx)

        return once

    def products_of_each(self, *, new_memory: bool = True) -> Callable[[], object]:
        """The matrix products of top-1 where all experts have as many tokens, and memory for the gradients: new in
        every step, as training has it, or the same again, which leaves the products alone.
        """
        x, dy = self.tokens.detach(), self.grad
        edges = [len(x) * expert // self.experts for expert in range(self.experts + 1)]
        bank = [torch.randn(self.experts, self.width, self.width).to(x) * 0.02 for _ in range(3)]
        at_hand = None if new_memory else [torch.empty_like(theta) for theta in bank]

        def once() -> None:
            grads = [torch.empty_like(theta) for theta in bank] if at_hand is None else at_hand
            for e in range(self.experts):
                rows = slice(edges[e], edges[e + 1])
                gate, up, down = (theta[e] for theta in bank)
                g, u = x[rows] @ gate.T, x[rows] @ up.T
                g @ down
                dh = dy[rows] @ down.T
                torch.addmm(dh @ gate, u, up)
                for grad, left, right in zip(grads, (dh, u, g), (x, x, dy), strict=True):
                    torch.mm(left.T, right[rows], out=grad[e])

        return once

    def products_in_a_batch(self) -> Callable[[], object]:
        """As ``products_of_each``, into memory at hand, all experts in one batched product: what could be had at best
        if all had as many tokens, or were padded to.
        """
        whole = len(self.tokens) // self.experts * self.experts
        x, dy = (t.detach()[:whole].unflatten(0, (self.experts, -1)) for t in (self.tokens, self.grad))
        gate, up, down = (torch.randn(self.experts, self.width, self.width).to(x) * 0.02 for _ in range(3))
        grads = [torch.empty_like(theta) for theta in (gate, up, down)]

        def once() -> None:
            g, u = x @ gate.mT, x @ up.mT
            g @ down
            dh = dy @ down.mT
            torch.baddbmm(dh @ gate, u, up)
            for grad, left, right in zip(grads, (dh, u, g), (x, x, dy), strict=True):
                torch.bmm(left.mT, right, out=grad)

        return once

    def kept(self, bank: nn.Module) -> int:
        return saved_bytes(lambda: bank(self.tokens, self.offsets, self.routing), bank)


class Sliced(SwiGLUExperts):
    """A bank that is asked for the hidden units of one expert after the other, as a plugin's may be."""

    def hidden(self, tokens: Tensor, experts: slice, context: Tensor | None) -> Tensor:
        return super().hidden(tokens, experts, context)


class PlainLoop(nn.Module):
    """Run every expert on everything, add up."""

    def __init__(self, width: int, hidden: int, experts: int) -> None:
        super().__init__()
        self.gate, self.up = (nn.Parameter(torch.randn(experts, hidden, width) * width**-0.5) for _ in range(2))
        self.down = nn.Parameter(torch.randn(experts, hidden, width) * hidden**-0.5)

    def forward(self, tokens: Tensor, offsets: Tensor, routing: Routing) -> Tensor:
        weights = spread(routing.weights.to(tokens.dtype), offsets, len(tokens))
        out = torch.zeros_like(tokens)
        for e in range(self.gate.shape[0]):
            hidden = silu(tokens @ self.gate[e].T) * (tokens @ self.up[e].T)
            out = out + weights[:, e, None] * (hidden @ self.down[e])
        return out


class LinearSwiGLU(nn.Module):
    """One expert as released code has it."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.gate, self.up = nn.Linear(width, hidden, bias=False), nn.Linear(width, hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.down(silu(self.gate(tokens)) * self.up(tokens))


class StackedModule(nn.Module):
    """The form of the original's module: outputs of all experts stacked, then weighted."""

    def __init__(self, width: int, hidden: int, experts: int) -> None:
        super().__init__()
        self.experts = nn.ModuleList(LinearSwiGLU(width, hidden) for _ in range(experts))

    def forward(self, tokens: Tensor, offsets: Tensor, routing: Routing) -> Tensor:
        weights = spread(routing.weights.to(tokens.dtype), offsets, len(tokens))
        stacked = torch.stack([expert(tokens) for expert in self.experts], 1)  # (N, E, D)
        return (weights[..., None] * stacked).sum(1)
