"""What the mixture costs, against a plain loop over experts.  python benchmarks/layer.py

The first rows compute the same: all experts, or the k largest. The last ones are other banks in their place, and
compute something else: `merged` averages the experts of an image before it runs one of the same size, `low-rank` has
experts of rank F / 16.

N  visual tokens    D  width    F  expert hidden size    E  experts
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from harness import arguments, compare, report, saved_bytes, spread_of
from torch import Tensor
from torch.nn.functional import silu

from parrot_adapters.core import (
    ExpertBank,
    LowRankExperts,
    MergedExperts,
    Routing,
    SwiGLUExperts,
    keep_top_k,
    spread,
)


def plain_loop(bank: SwiGLUExperts, tokens: Tensor, offsets: Tensor, routing: Routing) -> Tensor:
    """The textbook form: run every expert on everything, add up."""
    weights = spread(routing.weights, offsets, len(tokens))
    out = torch.zeros_like(tokens)
    for e in range(bank.num_experts):
        hidden = silu(tokens @ bank.gate[e].T) * (tokens @ bank.up[e].T)
        out = out + weights[:, e, None] * (hidden @ bank.down[e])
    return out


def main() -> None:
    options = arguments(__doc__ or "")
    width, hidden, experts, items, per_item = (
        (512, 512, 6, 8, 144) if options.device == "cpu" else (4096, 4096, 6, 16, 576)
    )
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator).to(options.device)

    def made(bank: ExpertBank) -> ExpertBank:
        torch.nn.init.normal_(bank.down, std=bank.hidden_size**-0.5)
        return bank.to(options.device)

    bank = SwiGLUExperts(width, hidden, experts)
    made(bank)  # in place, so that its own type is kept
    merged = made(MergedExperts(width, hidden, experts))
    rank = hidden // 16
    low_rank = made(LowRankExperts(width, rank, experts))
    tokens = draw(items * per_item, width)
    offsets = torch.arange(items + 1, device=options.device) * per_item
    logits = draw(items, experts)
    dense = Routing(logits.softmax(-1), logits)

    def forward(run: Callable[[], Tensor]) -> Callable[[], object]:
        def once() -> object:
            with torch.no_grad():
                return run()

        return once

    def both(run: Callable[[], Tensor]) -> Callable[[], object]:
        return lambda: run().sum().backward()

    runs: dict[str, Callable[[], Tensor]] = {
        "plain loop, all experts": lambda: plain_loop(bank, tokens, offsets, dense),
        "wide matmul, all experts": lambda: bank(tokens, offsets, dense),
    }
    for k in (3, 2, 1):
        sparse = keep_top_k(dense, k)
        runs[f"top_k={k}"] = lambda sparse=sparse: bank(tokens, offsets, sparse)  # type: ignore[misc]
    runs["merged"] = lambda: merged(tokens, offsets, dense)
    runs[f"low-rank, rank {rank}"] = lambda: low_rank(tokens, offsets, dense)
    modules = torch.nn.ModuleList([bank, merged, low_rank])
    ahead = compare({name: forward(run) for name, run in runs.items()}, repeats=options.repeats, device=options.device)
    train = compare({name: both(run) for name, run in runs.items()}, repeats=options.repeats, device=options.device)
    unit = tokens.numel() * tokens.element_size()
    rows = [
        {
            "variant": name,
            "forward": ahead[name]["ratio"],
            "min..max": spread_of(ahead[name]),
            "with backward": train[name]["ratio"],
            "min..max ": spread_of(train[name]),
            "kept / tokens": saved_bytes(run, modules) / unit,
        }
        for name, run in runs.items()
    ]
    report("layer", {"N": len(tokens), "D": width, "F": hidden, "E": experts, "dtype": "float32"}, rows, options)


if __name__ == "__main__":
    main()
