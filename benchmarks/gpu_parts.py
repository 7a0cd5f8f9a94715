"""What needs a GPU, part by part, in order of worth.  Run by gpu.py, one process a part.

A part yields rows as they come. With `--device cpu` everything runs at small shapes: that rehearses the kit, and its
numbers mean nothing.
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from harness import Options, Row, compare, load_rows, rows_of, wait
from torch import nn

import parrot_adapters as pa
from parrot_adapters.core import MergedExperts, keep_top_k
from parrot_adapters.core.grouped_passes import can_be_grouped

experts = load_rows("experts")


def layer(options: Options) -> Iterator[Row]:
    """The dense bank against the rate of one large product, and against a plain loop at few tokens."""
    width = 64 if options.tiny else 4096
    many = experts.Case(width, options, items=8, per_item=577)
    bank = many.bank()
    flops = 9 * 2 * 8 * 577 * width * width * 6
    side = 256 if options.tiny else 8192
    left, right = (torch.randn(side, side).to(many.tokens) for _ in range(2))
    found = compare(
        {
            "dense": many.step(bank),
            "its bare matrix products": many.products(),
            "one large product": lambda: left @ right,
            "dense, recompute=True": many.step(many.bank(recompute=True)),
        },
        options,
    )
    rate = flops / found["dense"]["seconds"]
    best = 2 * side**3 / found["one large product"]["seconds"]
    where = f"D=F={width}, E=6, 8 x 577, {many.kind}"
    yield Row("rate of the dense bank", "rate of one large product", rate / best, 0.75, None, where, at_least=True)
    limits = {("dense", "its bare matrix products"): None, ("dense, recompute=True", "dense"): 1.4}
    yield from rows_of(found, limits, settings=where)
    few = experts.Case(width, options, items=8, per_item=64)
    loop = experts.PlainLoop(width, width, 6).to(options.device, few.dtype)
    found = compare({"plain loop": few.step(loop), "dense": few.step(bank)}, options)
    where = f"D=F={width}, E=6, 8 x 64, {few.kind}"
    yield from rows_of(found, {("plain loop", "dense"): 2.0}, settings=where, at_least=True)


def sparse(options: Options) -> Iterator[Row]:
    """Top-k, merged, and the products of many experts in a loop and grouped."""
    width = 64 if options.tiny else 4096
    case = experts.Case(width, options, items=8, per_item=577)
    bank = case.bank()
    merged = case.ready(MergedExperts(width, width, 6))
    runs = {
        "dense": case.step(bank),
        "top-2": case.step(bank, keep_top_k(case.routing, 2)),
        "top-1": case.step(bank, keep_top_k(case.routing, 1)),
        "merged": case.step(merged),
    }
    if can_be_grouped(bank.down):  # asked for, and not
        for name, grouped in (("top-1, grouped", True), ("top-1, a product for each", False)):
            runs[name] = case.step(case.bank(grouped=grouped), keep_top_k(case.routing, 1))
    limits = {("top-2", "dense"): 0.40, ("top-1", "dense"): 0.22, ("merged", "dense"): 0.30}
    if can_be_grouped(bank.down):
        limits[("top-1, grouped", "top-1, a product for each")] = 1.0
    yield from rows_of(compare(runs, options), limits, settings=f"D=F={width}, E=6, 8 x 577, {case.kind}")
    many = 64 if options.tiny else 1024
    yield from experts.many_experts(many, options)
    yield from experts.ragged(many, options)
    if hasattr(nn.functional, "grouped_mm"):
        tokens = torch.randn(64 * 36, many).to(case.tokens)
        weight = torch.randn(64, many, many).to(case.tokens)
        ends = (torch.arange(64, dtype=torch.int32) + 1).to(options.device) * 36
        found = compare(
            {
                "grouped_mm": lambda: nn.functional.grouped_mm(tokens, weight.mT, offs=ends),
                "a product for each": lambda: [tokens[36 * e : 36 * e + 36] @ weight[e].T for e in range(64)],
            },
            options,
        )
        yield from rows_of(
            found, {("grouped_mm", "a product for each"): None}, settings=f"E=64, 36 rows each, D={many}"
        )


def waits(options: Options) -> Iterator[Row]:
    """How often a call with pictures waits for the device, by torch's own report."""
    yield from load_rows("waits").measure(options)


def memory(options: Options) -> Iterator[Row]:
    """What a step keeps, and what `parrot plan` says of it."""
    from plan_against_step import planned_and_real

    planned, real, where = planned_and_real(options)
    yield Row("memory of a step by the plan", "measured", planned / real, 1.10, None, where)
    yield Row("memory of a step by the plan", "measured", planned / real, 0.90, None, where, at_least=True)


def generation(options: Options) -> Iterator[Row]:
    """Prefill and decode of a host with and without an adapter, and the layer in a CUDA graph."""
    rows = load_rows("host")
    bare, batch = rows.host(options), rows.inputs(options)
    attached = copy.deepcopy(bare)
    handle = pa.attach(attached, pa.AdapterConfig(expert_hidden_size=bare.config.get_text_config().hidden_size))

    def new_words(model: Any, count: int) -> Callable[[], object]:
        given = {"max_new_tokens": count, "min_new_tokens": count, "do_sample": False}
        return lambda: model.generate(**batch, **given)

    count = 4 if options.tiny else 64
    found = compare(
        {
            f"{name} {n}": new_words(model, n)
            for n in (1, count)
            for name, model in (("bare", bare), ("with", attached))
        },
        options,
    )
    limits = {("with 1", "bare 1"): None, (f"with {count}", f"bare {count}"): None}
    yield from rows_of(found, limits, settings="generate, so many new tokens, 4 prompts")
    if options.device.startswith("cuda"):
        yield from graph(handle.require_module(), options)


def graph(module: nn.Module, options: Options) -> Iterator[Row]:
    width = next(module.experts.parameters()).shape[-1]
    tokens = torch.randn(4 * 256, width, device=options.device)
    offsets = torch.arange(5, device=options.device) * 256
    text, mask = torch.randn(4, 32, width, device=options.device), torch.ones(4, 32, device=options.device) > 0
    given = (tokens, offsets, torch.arange(4, device=options.device), text, mask)
    with torch.no_grad():
        for _ in range(5):
            module(*given)
        wait(options.device)
        captured = torch.cuda.CUDAGraph()
        with torch.cuda.graph(captured):
            out = module(*given).tokens
        captured.replay()
        torch.testing.assert_close(out, module(*given).tokens)
        found = compare({"layer, CUDA graph": captured.replay, "layer, eager": lambda: module(*given)}, options)
    yield from rows_of(found, {("layer, CUDA graph", "layer, eager"): None}, settings="forward, 4 x 256 tokens")


def loading(options: Options) -> Iterator[Row]:
    """`load_adapter` on a host that is on the device, against reading the file there."""
    from safetensors.torch import load_file

    width = 64 if options.tiny else 4096
    model = load_rows("host").host(options)
    with tempfile.TemporaryDirectory() as folder:
        handle = pa.attach(model, pa.AdapterConfig(expert_hidden_size=width))
        handle.save_pretrained(folder)
        handle.detach()
        stored = Path(folder) / "adapter_model.safetensors"

        def loaded() -> None:
            pa.load_adapter(model, folder).detach()

        found = compare({"load": loaded, "read": lambda: load_file(stored, device=options.device)}, options)
        size = stored.stat().st_size / 2**20
    yield from rows_of(found, {("load", "read"): None}, settings=f"{size:.0f} MiB; cached by the system")


def inductor(options: Options) -> Iterator[Row]:
    """The layer under torch.compile."""
    width = 64 if options.tiny else 2048
    module = pa.build_layer(pa.AdapterConfig(expert_hidden_size=width), width).to(options.device)
    tokens = torch.randn(8 * 144, width, device=options.device)
    offsets, rows = torch.arange(9, device=options.device) * 144, torch.arange(8, device=options.device)
    text, mask = torch.randn(8, 32, width, device=options.device), torch.ones(8, 32, device=options.device) > 0
    compiled = torch.compile(module)

    def step(run: Callable[..., Any]) -> Callable[[], object]:
        return lambda: run(tokens, offsets, rows, text, mask).tokens.sum().backward()

    found = compare({"compiled": step(compiled), "eager": step(module)}, options)
    yield from rows_of(
        found, {("compiled", "eager"): None}, settings=f"layer, forward and backward, D=F={width}, float32"
    )


PARTS: dict[str, Callable[[Options], Iterator[Row]]] = {
    "layer": layer,
    "sparse": sparse,
    "waits": waits,
    "memory": memory,
    "generation": generation,
    "loading": loading,
    "inductor": inductor,
}
