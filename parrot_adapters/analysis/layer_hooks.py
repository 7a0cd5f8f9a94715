"""Hooks on an attached layer, for the length of a block: see its tokens, take an expert away, route as told.

They hang on the adapter's modules, never on the host, and other passes of the host meanwhile are changed too: this is
for looking at a model that nobody else is using.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from parrot_adapters.errors import HostError, explain
from parrot_adapters.hosts.read_prompt import find_placeholders

if TYPE_CHECKING:
    from parrot_adapters.adapter.handle import Attachment
    from parrot_adapters.core import Aligned, Routing

__all__ = ["Pass", "ablated", "next_token_logits", "rerouted", "tokens_left", "watched"]


class Pass(NamedTuple):
    """One pass through the layer.

    Attributes:
        before: Visual tokens as they came, (N, D).
        after: Visual tokens as the layer handed them on, (N, D).
        offsets: Places of the items, (I + 1,) int64.
        rows: Number of the prompt that each item belongs to, (I,) int64.
        routing: Routing that was applied, after ``top_k``.
        routed: Routing that the router itself answered with.
    """

    before: Tensor
    after: Tensor
    offsets: Tensor
    rows: Tensor
    routing: Routing
    routed: Routing


@contextmanager
def watched(handle: Attachment) -> Iterator[list[Pass]]:
    """Collect every pass through an adapter's layer within a ``with`` block.

    Args:
        handle: Handle of an attached host.
    """
    passes: list[Pass] = []
    routed: list[Routing] = []

    def keep_routing(module: object, args: tuple[Any, ...], routing: Routing) -> None:
        routed.append(routing)

    def keep(module: object, args: tuple[Any, ...], result: Aligned) -> None:
        tokens, offsets, rows, *_ = args
        if routed:  # a batch without items routes nothing
            passes.append(Pass(tokens, result.tokens, offsets, rows, result.routing, routed.pop()))

    hooks = [handle.require_module().register_forward_hook(keep)]
    hooks.insert(0, handle.require_module().router.register_forward_hook(keep_routing))
    try:
        yield passes
    finally:
        for hook in hooks:
            hook.remove()


def tokens_left(handle: Attachment, inputs: Mapping[str, Any]) -> Tensor:
    """Visual tokens of a batch's images as the last layer of the language model leaves them, (N, D).

    Args:
        handle: Handle of an attached host.
        inputs: Arguments of its forward, with ``input_ids`` or ``inputs_embeds`` and at least one image.

    Raises:
        HostError: The host has no language model, or gives its states in a form of its own.
    """
    kept: list[Any] = []
    language_model = handle.parts.module(handle.parts.language_model)
    if language_model is None:
        raise HostError(f"no language model found in {type(handle.model).__name__}, so what it leaves cannot be seen")
    hook = language_model.register_forward_hook(lambda module, args, output: kept.append(output[0]))
    try:
        handle.model(**inputs)
    finally:
        hook.remove()
    places = find_placeholders(handle.parts, inputs)["image"].flatten()
    if len(kept) != 1 or not isinstance(kept[0], Tensor) or kept[0].shape[:-1].numel() != places.numel():
        raise HostError(f"the language model of {type(handle.model).__name__} gives its states in a form of its own")
    states: Tensor = kept[0].flatten(0, -2)[places.to(kept[0].device)]
    return states


@contextmanager
def ablated(handle: Attachment, expert: int) -> Iterator[None]:
    """Without one expert: its weight is zero, and the others keep theirs (what it added is gone, no more)."""

    def remove(module: object, args: tuple[Any, ...]) -> tuple[Any, ...]:
        tokens, offsets, routing, *rest = args
        weights = routing.weights.clone()
        weights[:, expert] = 0
        return (tokens, offsets, routing._replace(weights=weights), *rest)

    def remove_of_groups(module: object, args: tuple[Any, ...], weights: Tensor) -> Tensor:
        weights = weights.clone()
        weights[..., expert] = 0
        return weights

    def remove_inside(module: object, args: tuple[Any, ...], aligned: Aligned) -> Aligned:
        weights = aligned.routing.weights.clone()
        weights[:, expert] = 0
        return aligned._replace(routing=aligned.routing._replace(weights=weights))

    layer = handle.require_module()
    hooks = []
    if layer.experts is not None:
        hooks.append(layer.experts.register_forward_pre_hook(remove))
    if layer.layer_experts is not None and layer.layer_experts.group_weights is not None:
        hooks.append(layer.layer_experts.group_weights.register_forward_hook(remove_of_groups))
    elif layer.layer_experts is not None:  # they get the routing that the layer answers with
        hooks.append(layer.register_forward_hook(remove_inside))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


@contextmanager
def rerouted(handle: Attachment, routing: Routing | Callable[[Routing], Routing]) -> Iterator[None]:
    """With another routing in place of the router's, before ``top_k``."""

    def replace(module: object, args: tuple[Any, ...], own: Routing) -> Routing:
        return routing(own) if callable(routing) else routing

    hook = handle.require_module().router.register_forward_hook(replace)
    try:
        yield
    finally:
        hook.remove()


def next_token_logits(handle: Attachment, inputs: dict[str, Any]) -> Tensor:
    """(R, V) float32 logits of the token after each prompt, whichever side is padded.

    Raises:
        HostError: the host has no language-model head.
    """
    with torch.no_grad():
        out = handle.model(**inputs)
    logits = getattr(out, "logits", None)
    if logits is None:
        raise HostError(
            explain(
                f"{type(handle.model).__name__} gives no logits, so its answers cannot be compared.",
                to_do="attach to the model with its language-model head (for example LlavaForConditionalGeneration)",
            )
        )
    mask = inputs.get("attention_mask")
    if mask is None or mask.shape[1] != logits.shape[1]:
        return logits[:, -1].float()
    last = (torch.arange(mask.shape[1], device=mask.device) * mask).amax(1)  # (R,)
    return logits[torch.arange(len(last), device=mask.device), last].float()
