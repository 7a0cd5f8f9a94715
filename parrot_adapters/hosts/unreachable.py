"""Models that no adapter can be attached to, and why: refused before anything is touched."""

from __future__ import annotations

import inspect
from typing import Any, NoReturn

from parrot_adapters.errors import HostError, explain
from parrot_adapters.hosts.host_spec import HostSpec

__all__ = ["refuse_unreachable"]

PICTURES = ("pixel", "image", "patches", "vision", "visual", "video")
DECLARE = (
    "declare how it is reached: HostSpec(encoder_calls=..., prompt_calls=...) names the calls that make visual tokens "
    "and those that are given the prompt"
)


def refuse_unreachable(outer: Any, base: Any, spec: HostSpec) -> None:
    """Refuse a model that cannot be handed encoded images, and whose own calls nobody has declared.

    Args:
        outer: the model the user holds.
        base: what would be its base model.
        spec: the declaration that applies.

    Raises:
        HostError: it is one; the message says what it lacks.
    """
    if spec.unsupported:
        _refuse(
            outer,
            f"cannot carry an adapter: {spec.unsupported}.",
            "use another host; parrot_adapters.core.AlignmentLayer fits into any model's own code",
        )
    takes_outputs = "mm_encoder_outputs" in inspect.signature(type(base).forward).parameters
    if hasattr(base, "get_image_features") and takes_outputs:
        return
    if not _has_vision(outer):
        _refuse(
            outer,
            "has no vision: nothing in its configuration, its modules or its arguments is about images.",
            "attach to the whole vision-language model (for example LlavaForConditionalGeneration), not to its "
            "language model",
        )
    lacks = (
        "its forward takes no mm_encoder_outputs"
        if hasattr(base, "get_image_features")
        else "it has no get_image_features"
    )
    _refuse(outer, f"has vision but cannot be handed encoded images: {lacks}.", _remedy())


def _refuse(outer: Any, why: str, to_do: str) -> NoReturn:
    raise HostError(
        explain(
            f"{type(outer).__name__} {why}",
            given=f"model_type {getattr(outer.config, 'model_type', '?')!r}",
            to_do=to_do,
        )
    )


def _remedy() -> str:
    """An older transformers may be the reason; on one that hands images over it is not."""
    from transformers.generation import GenerationMixin

    hands_over = hasattr(GenerationMixin, "_prepare_multimodal_encoder_kwargs_for_generation")
    return DECLARE if hands_over else f"use transformers >= 5.20, which hands encoded images over, or {DECLARE}"


def _has_vision(outer: Any) -> bool:
    arguments = [*inspect.signature(type(outer).forward).parameters]
    modules = [name for name, _ in outer.named_modules()]
    settings = [name for name, value in vars(outer.config).items() if value is not None]
    return any(sign in name.lower() for name in (*arguments, *modules, *settings) for sign in PICTURES)
