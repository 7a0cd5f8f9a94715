"""What training does to a host beside its weights, and how it is undone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from parrot_adapters.adapter.handle import Attachment

__all__ = ["as_it_was", "in_float32"]


@contextmanager
def in_float32(handle: Attachment) -> Iterator[None]:
    """What trains is float32 inside the block: updates are smaller than a bfloat16's last bit.

    Afterwards the host's own layers compute in its dtype again; the adapter's module casts what it is given.
    """
    module = set() if handle.module is None else {id(p) for p in handle.module.parameters()}
    before = {}
    for name, parameter in handle.model.named_parameters():
        if parameter.requires_grad and parameter.dtype != torch.float32:
            before[name] = parameter.dtype
            parameter.data = parameter.data.float()
    try:
        yield
    finally:
        for name, parameter in handle.model.named_parameters():
            if name in before and id(parameter) not in module:
                parameter.data = parameter.data.to(before[name])


@contextmanager
def as_it_was(model: Any) -> Iterator[None]:
    """Undo what training does to a host beside its weights: mode, cache setting, recomputation, autocast."""
    training, settings = model.training, model.config.__dict__
    use_cache = {name: settings[name] for name in ("use_cache",) if name in settings}
    recomputed, own = _recomputes(model), set(model.__dict__)
    try:
        yield
    finally:
        for name in ("forward", "_original_forward"):  # accelerate's autocast around it
            if name not in own:
                model.__dict__.pop(name, None)
        if _recomputes(model) and not recomputed:
            disable = getattr(model, "activation_checkpointing_disable", None)
            (disable if disable is not None else model.gradient_checkpointing_disable)()
        model.train(training)
        settings.pop("use_cache", None)
        settings.update(use_cache)


def _recomputes(model: Any) -> bool:
    return any(getattr(module, "gradient_checkpointing", False) for module in model.modules())
