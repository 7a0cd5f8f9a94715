"""Whether a router gives what experts ask of it, found out before an adapter is put on anything.

A copy of the router is asked about one small made-up picture: what it answers there tells its form. Nothing is
refused that cannot be told so; the first pass with a picture refuses the rest.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import torch

from parrot_adapters.core import Routing, RoutingInputs
from parrot_adapters.errors import ConfigError, explain

if TYPE_CHECKING:
    from parrot_adapters.adapter.config import AdapterConfig
    from parrot_adapters.core import AlignmentLayer

__all__ = ["require_fitting_router"]

TOKENS, WORDS = 2, 3  # of the picture and of the prompt


def require_fitting_router(layer: AlignmentLayer, config: AdapterConfig, width: int) -> None:
    """Refuse experts that read a context with a router that gives none, experts for one routing per item with a router
    that routes tokens, and groups of layers with nothing to weigh.

    Args:
        layer: The adapter's module, not put on a host yet.
        config: Its settings.
        width: Hidden size D of the language model.

    Raises:
        ConfigError: They do not go together.
    """
    inside = layer.layer_experts
    readers = {
        f"expert={config.expert!r}": getattr(layer.experts, "needs_context", False),
        f"layer_expert={config.layer_expert!r}": inside is not None and inside.needs_context,
    }
    reader = next((name for name, reads in readers.items() if reads), None)
    groups = 1 if inside is None else inside.groups
    by_item = getattr(layer.experts, "conformance", {}).get("per_token") is False
    if reader is None and groups == 1 and not by_item:
        return
    answer = _answer(layer, width)
    if answer is None:
        return
    if by_item and answer.weights.ndim and answer.routes_tokens(1):
        raise ConfigError(
            explain(
                f"expert={config.expert!r} takes one routing per item, and router={config.router!r} routes every "
                "visual token by itself.",
                to_do="use router='text-guided', or expert='swiglu'",
            )
        )
    if reader is not None and answer.context is None:
        raise ConfigError(
            explain(
                f"{reader} reads the context of its router, and router={config.router!r} returns none.",
                to_do="use router='text-guided', or experts that read none (expert='swiglu', layer_expert='low-rank')",
            )
        )
    if groups > 1 and int((answer.weights > 0).sum(-1).max()) < 2:
        raise ConfigError(
            explain(
                f"layer_groups={groups} has nothing to weigh: router={config.router!r} gives one expert all there is.",
                to_do="use a router that weighs several experts (text-guided; language-id with "
                "router_options={'mode': 'table'}), or layer_groups=1",
            )
        )


@torch.no_grad()
def _answer(layer: AlignmentLayer, width: int) -> Routing | None:
    """What the router says of one picture; None where it does not say anything that could be read."""
    router = layer.router
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        tokens, text = torch.randn(TOKENS, width), torch.randn(1, WORDS, width)
        try:
            answer = copy.deepcopy(router).eval()(
                RoutingInputs(
                    summary=tokens.mean(0, keepdim=True),
                    tokens=tokens,
                    offsets=torch.tensor([0, TOKENS]),
                    text=text,
                    text_mask=torch.ones(1, WORDS, dtype=torch.bool),
                    rows=torch.zeros(1, dtype=torch.int64),
                    token_ids=torch.zeros(1, WORDS, dtype=torch.int64),
                    languages=(None,),
                )
            )
        except Exception:  # a stranger's may want more than a made-up prompt: the first pass will tell
            return None
    return answer if isinstance(answer, Routing) and isinstance(answer.weights, torch.Tensor) else None
