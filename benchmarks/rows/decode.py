"""What an adapter adds to a decode step, in microseconds: hooks and what stands in place of calls, without arithmetic.

The calls of a small LLaVA are made as in a decode step (no pixels, no labels, a cache), with nothing inside: forward of
the outer model calls the base model, whose forward calls the linear layers that may have experts, on one token of eight
numbers. So what differs from the bare host is the library. Experts in the layers cost something at each linear layer
that has them; the row says how much at one.
"""

from __future__ import annotations

import copy
import statistics
from collections.abc import Iterator
from typing import Any

import torch
from harness import Options, Row, compare
from torch import nn

import parrot_adapters as pa
from parrot_adapters.testing import small_llava

COVERS = ("parrot_adapters/hosts/", "parrot_adapters/adapter/")

LAYERS, CALLS = ("q_proj", "k_proj", "v_proj", "o_proj"), 200


def measure(options: Options) -> Iterator[Row]:
    """Microseconds of one decode step above the bare host's."""
    text = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 2, "num_attention_heads": 1}
    model = small_llava(text=text | {"num_key_value_heads": 1}).to(options.device)
    hosts = {"bare": model, "at the projector": copy.deepcopy(model), "in the layers": copy.deepcopy(model)}
    pa.attach(hosts["at the projector"], pa.AdapterConfig(expert_hidden_size=8))
    pa.attach(hosts["in the layers"], pa.AdapterConfig(placement="layers", layer_modules=list(LAYERS), layer_rank=1))
    linear = {id(host.base_model): sites_of(host) for host in hosts.values()}
    count = len(sites_of(model))
    token = torch.zeros(1, 1, 8, device=options.device)
    step: dict[str, Any] = {
        "input_ids": torch.ones(1, 1, dtype=torch.long, device=options.device),
        "attention_mask": torch.ones(1, 9, device=options.device),
        **dict.fromkeys(("pixel_values", "labels")),
        "use_cache": True,
    }

    def outer(self: Any, labels: Any = None, **further: Any) -> Any:
        return self.base_model(**further)

    def base(self: nn.Module, **further: Any) -> None:
        for each in linear[id(self)]:
            each(token)

    def steps(host: nn.Module) -> None:
        with torch.no_grad():
            for _ in range(CALLS):
                host(**step)

    kinds = {type(model): outer, type(model.base_model): base}
    own = {kind: kind.forward for kind in kinds}
    try:
        for kind, stand_in in kinds.items():
            kind.forward = stand_in  # of the class, so that hooks and stand-ins of the instances stay what they are
        found = compare({name: lambda host=host: steps(host) for name, host in hosts.items()}, options)
    finally:
        for kind, forward in own.items():
            kind.forward = forward

    def added(name: str, against: str) -> list[float]:
        rounds = zip(found[name]["rounds"], found[against]["rounds"], strict=True)
        return [1e6 * (mine - theirs) / CALLS for mine, theirs in rounds]

    settings = f"microseconds added to a decode step, {options.device}"
    layer = [each / count for each in added("in the layers", "at the projector")]
    for what, values, limit in (
        ("adapter at the projector", added("at the projector", "bare"), 10.0),
        ("each linear layer with experts", layer, None),
    ):
        yield Row(what, "bare", statistics.median(values), limit, (min(values), max(values)), settings)


def sites_of(host: Any) -> list[nn.Module]:
    """The linear layers at which experts may stand, in the order of the host."""
    text = host.base_model.language_model
    return [module for name, module in text.named_modules() if name.endswith(LAYERS)]
