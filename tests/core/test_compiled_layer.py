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


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")  # torch's own, while it traces
@pytest.mark.parametrize("kind", late_unless(["merged"], KINDS))
def test_it_is_one_graph_with_the_same_answers(kind: str) -> None:
    torch._dynamo.reset()
    torch.manual_seed(0)
    layer = pa.build_layer(pa.AdapterConfig(num_experts=4, expert_hidden_size=8, **KINDS[kind]), 16)
    for parameter in layer.parameters():
        nn.init.normal_(parameter, std=0.3)
    compiled = torch.compile(layer, backend="eager", fullgraph=True)
    for sizes in ([6, 6, 6], [2, 9, 4, 5]):
        tokens, text = torch.randn(sum(sizes), 16), torch.randn(3, 5, 16)
        offsets, rows = torch.tensor([0, *sizes]).cumsum(0), torch.arange(len(sizes)) % 3
        given = tokens, offsets, rows, text, torch.ones(3, 5, dtype=torch.bool)
        named = {"cls": torch.randn(len(sizes), 16), "languages": LANGUAGES}
        found = compiled(*given, **named).tokens
        assert_close(found, layer(*given, **named).tokens)
        assert not torch.equal(found, tokens)
    torch._dynamo.reset()
