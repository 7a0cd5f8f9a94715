"""The whole prompt, out of the arguments of the helper by which ``generate`` encodes images."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from parrot_adapters.hosts.key_value_cache import given_cache

__all__ = ["generation_prompt"]


def generation_prompt(
    helper: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> tuple[dict[str, Any], int]:
    """Arguments of a forward pass over the prompt, and how many of its positions a cache holds already.

    Args:
        helper: The host's ``_maybe_prepare_encoder_kwargs_for_generation``.
        args: Its arguments.
        kwargs: Those given by name.
    """
    bound = inspect.signature(helper).bind(*args, **kwargs).arguments
    prompt_tensor, given = bound["inputs_tensor"], dict(bound["model_kwargs"])
    call = {name: value for name, value in given.items() if name not in ("input_ids", "inputs_embeds")}
    ids = given.get("input_ids")
    if not prompt_tensor.is_floating_point():
        call["input_ids"] = prompt_tensor
    elif ids is not None and ids.shape[-1]:
        call["input_ids"] = ids
    else:
        call["inputs_embeds"] = prompt_tensor
    if given.get("use_cache", True):
        call.pop("position_ids", None)  # by which rows may be packed; never beside a cache, which there will be
    cache = given_cache(given)
    return call, int(cache.get_seq_length()) if cache is not None else 0
