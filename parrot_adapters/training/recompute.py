"""Recompute activations in the backward pass rather than keep them."""

from __future__ import annotations

from typing import Any

__all__ = ["recompute_activations"]


def recompute_activations(model: Any) -> None:
    """Switch gradient checkpointing on.

    transformers also makes all embeddings require gradients, vision tower included, which its re-entrant form needs.
    Ours does not; left on, the whole backward pass through a frozen tower would be computed for nothing, and its
    activations kept.

    Args:
        model: of transformers.
    """
    enable = getattr(model, "activation_checkpointing_enable", None)
    if enable is not None:  # transformers 5.24 renamed it, and warns about the old name
        enable(activation_checkpointing_kwargs={"use_reentrant": False})
    else:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    model.disable_input_require_grads()
