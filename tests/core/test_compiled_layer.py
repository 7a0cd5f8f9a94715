"""The layer alone under ``torch.compile``: one graph, the answers it gives uncompiled, whatever the sizes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from support.tiers import late_unless
from torch import nn
from torch.testing import assert_close

import parrot_adapters as pa

KINDS: dict[str, dict[str, Any]] = {
    "dense": {},
    "top-k": {"top_k": 2},
    "merged": {"expert": "merged"},
    "router top-k": {"router": "top-k", "router_options": {"k": 2}},
    "router text-guided-qkv": {"router": "text-guided-qkv"},
    "router per-token": {"router": "per-token"},
    "router language-id": {"router": "language-id", "router_options": {"languages": ["en", "tr"]}},
    "router language-id, a table": {
        "router": "language-id",
        "router_options": {"languages": ["en", "tr"], "mode": "table"},
    },
    "router visual-only": {"router": "visual-only"},
    "router uniform": {"router": "uniform"},
    "router frozen": {"router": "frozen"},
    "mlp": {"expert": "mlp"},
    "conditioned-swiglu": {"expert": "conditioned-swiglu"},
    "shared-swiglu": {"expert": "shared-swiglu"},
    "low-rank": {"expert": "low-rank"},
    "summary cls": {"summary": "cls"},
    "summary first-token": {"summary": "first-token"},
}
LANGUAGES = ("en", None, "tr")  # of the three prompts


def layer_of(kind: str) -> pa.AlignmentLayer:
    """A layer that does something."""
    torch.manual_seed(0)
    layer = pa.build_layer(pa.AdapterConfig(num_experts=4, expert_hidden_size=8, **KINDS[kind]), 16)
    for parameter in layer.parameters():
        nn.init.normal_(parameter, std=0.3)
    return layer


def batch(sizes: list[int], words: int = 5) -> tuple[torch.Tensor, ...]:
    """Items of these sizes, for three prompts."""
    tokens, text = torch.randn(sum(sizes), 16), torch.randn(3, words, 16)
    offsets, rows = torch.tensor([0, *sizes]).cumsum(0), torch.arange(len(sizes)) % 3
    return tokens, offsets, rows, text, torch.ones(3, words, dtype=torch.bool)


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")  # torch's own, while it traces
@pytest.mark.parametrize("kind", late_unless(["merged"], KINDS))
def test_it_is_one_graph_with_the_same_answers(kind: str) -> None:
    torch._dynamo.reset()
    layer = layer_of(kind)
    compiled = torch.compile(layer, backend="eager", fullgraph=True)
    for sizes in ([6, 6, 6], [2, 9, 4, 5]):
        given, named = batch(sizes), {"cls": torch.randn(len(sizes), 16), "languages": LANGUAGES}
        found = compiled(*given, **named).tokens
        assert_close(found, layer(*given, **named).tokens)
        assert not torch.equal(found, given[0])
    torch._dynamo.reset()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")  # torch's own, while it traces
@pytest.mark.parametrize("kind", ["dense", "top-k", "merged", "router per-token", "low-rank"])
def test_exported_it_gives_the_same_answers_whatever_the_sizes(kind: str) -> None:
    layer, some = layer_of(kind).eval(), torch.export.Dim.AUTO
    sizes = ({0: some}, {0: some}, {0: some}, {1: some}, {1: some})  # of tokens, items and words
    exported = torch.export.export(layer, batch([6, 6, 6]), dynamic_shapes=sizes).module()
    for given in (batch([6, 6, 6]), batch([2, 9, 4, 5], words=7)):
        assert_close(exported(*given).tokens, layer(*given).tokens)
        assert not torch.equal(exported(*given).tokens, given[0])
