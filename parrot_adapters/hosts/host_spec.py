"""A declaration of one family of hosts. The defaults suit every transformers model that reads ``pooler_output`` of its
image features and scatters it into its embeddings; a plugin states only what differs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

from parrot_adapters.errors import ConfigError, explain, suggest

__all__ = ["DEFAULT_HOST", "EncodedImages", "HostSpec"]

CHOICES = {
    "unit": ("item", "run", "row"),
    "deepstack": ("raw", "align"),
    "placeholder_holds": ("token", "picture", "nothing"),
}


@dataclass(frozen=True, eq=False)
class EncodedImages:
    """What a host's vision side made of a batch's images or videos. Fields may be added later, none removed.

    Attributes:
        base_model: The host's base model.
        modality: ``"image"`` or ``"video"``.
        output: The return value of its ``get_image_features`` (or ``get_video_features``), not aligned yet.
        features: The visual tokens of each image or video, a list of tensors (n_i, D).
        arguments: The arguments that the host was called with, by name; pixels may be gone already.
    """

    base_model: Any
    modality: str
    output: Any
    features: list[Any]
    arguments: Mapping[str, Any]


@dataclass(frozen=True)
class HostSpec:
    """How to reach a family of hosts. Paths are dotted and relative to the host's base model.

    Args:
        model_types: Values of ``config.model_type`` that this declaration is for.
        unit: What is routed as one: ``"item"`` (default, each element of the image features), ``"run"`` (each
            contiguous run of placeholders) or ``"row"`` (all images of a prompt together).
        summary: The summary that ``AdapterConfig(summary="auto")`` means (default ``"mean"``); ``"cls"`` means
            ``"mean"`` on a host whose vision tower has no CLS token.
        cls: Function ``(EncodedImages) -> (elements, D) | None`` that finds the projected CLS token of each element of
            the image features, for ``summary="cls"``; it returns None where an output holds none. None (default) where
            nobody knows how.
        has_cls: Function ``(base_model) -> bool`` that says whether this host's vision tower has a CLS token at all;
            None (default) where every host of the family has. Asked once, while an adapter is attached.
        projector: Candidate paths of the module that maps vision to the language model's width; the first that exists
            is the projector.
        vision_tower: Candidate paths of the vision encoder.
        language_model: Candidate paths of the language model.
        attention: Names of the linear layers that are the projections of an attention in the language model (default
            ``q_proj``, ``k_proj``, ``v_proj``, ``o_proj``); they get experts inside the layers where nothing else was
            asked for. In layers that do not have all of them it is every linear layer of the attention.
        feature_attribute: Field of the image output that holds the visual tokens; with ``encoder_calls`` a number, as
            in ``"0"``, where a call returns a tuple of which one holds them.
        video_token_attributes: Fields of the configuration that may hold the placeholder id of videos, the most
            specific first.
        deepstack: ``"raw"`` (default) leaves the extra per-layer features of a vision tower as they are; ``"align"``
            passes them through the adapter's layer too.
        unsupported: Why no adapter can be attached to these hosts, for families known not to work; attaching says so.
            None (default) for hosts that work.
        encoder_calls: Paths of the methods or modules whose result is visual tokens, for hosts whose forward takes no
            ``mm_encoder_outputs``: what they return goes through the adapter. Looked for on the base model, then on the
            host. Empty (default) for hosts that are handed encoded images.
        prompt_calls: Methods or modules that are given the prompt and, inside, call one of ``encoder_calls``; looked
            for on the host, then on its base model. ``"generate"`` among them tells where the prompt ends.
        pixels: Names that the pixels may have among the arguments of a prompt call.
        placeholder: Token id that stands for an image in the prompt, or the dotted field of the configuration that
            holds it; None (default) for ``image_token_id`` or ``image_token_index`` of the configuration.
        placeholder_holds: With ``encoder_calls``, what one placeholder stands for: ``"token"`` (default, one visual
            token), ``"picture"`` (a whole picture, or all tiles of one), or ``"nothing"`` where prompts have no
            placeholders and the pictures are shared out evenly, in order.
        placeholder_mask: With ``encoder_calls``, the argument of a prompt call that is 1 where visual tokens go, for
            hosts that tell places by a mask and not by an id; None (default) for all others.
        features_mask: With ``encoder_calls``, the argument of a prompt call, (R, K) or (R, K, tiles), that is 1 where
            there is a picture or a tile, for hosts whose features come as K slots for each of R prompts, filled up
            where a prompt has fewer; None (default) where pictures stand end to end.
    """

    model_types: tuple[str, ...] = ()
    unit: Literal["item", "run", "row"] = "item"
    summary: str = "mean"
    cls: Callable[[EncodedImages], Any] | None = None
    has_cls: Callable[[Any], bool] | None = None
    projector: tuple[str, ...] = (
        "multi_modal_projector",
        "visual.merger",
        "connector",
        "vision_embed_tokens",
        "embed_vision",
        "visual_projection",
        "vision_projection",
        "visual_embeddings_table",
        "mm_projector",
        "projector",
        "aligner",
    )
    vision_tower: tuple[str, ...] = ("vision_tower", "visual", "vision_model", "vision_encoder")
    language_model: tuple[str, ...] = ("language_model", "text_model")
    attention: tuple[str, ...] = ("q_proj", "k_proj", "v_proj", "o_proj")
    feature_attribute: str = "pooler_output"
    video_token_attributes: tuple[str, ...] = ("video_token_id", "image_token_id")
    deepstack: Literal["raw", "align"] = "raw"
    unsupported: str | None = None
    encoder_calls: tuple[str, ...] = ()
    prompt_calls: tuple[str, ...] = ("forward", "generate")
    pixels: tuple[str, ...] = ("pixel_values", "images")
    placeholder: int | str | None = None
    placeholder_holds: Literal["token", "picture", "nothing"] = "token"
    placeholder_mask: str | None = None
    features_mask: str | None = None

    @property
    def called_modality(self) -> str:
        """What ``encoder_calls`` encode: ``"video"`` on hosts whose placeholder is that of videos, else ``"image"``."""
        return "video" if self.placeholder == "video_token_id" else "image"

    def override(self, options: Mapping[str, Any]) -> HostSpec:
        """This declaration with some fields replaced.

        Raises:
            ConfigError: unknown field, or a value the field does not take.
        """
        known = [f.name for f in fields(self) if f.name not in ("model_types", "cls", "has_cls", "unsupported")]
        unknown = [f"{key!r}.{suggest(key, known)}" for key in options if key not in known]
        if unknown:
            raise ConfigError(explain(f"unknown host option {', '.join(unknown)}", known=", ".join(known)))
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in options.items()}
        for key, value in values.items():
            if key == "placeholder" and isinstance(value, int) and not isinstance(value, bool):
                continue
            several = isinstance(getattr(DEFAULT_HOST, key), tuple)
            texts = value if several and isinstance(value, tuple) else (None,) if several else (value,)
            if not all(isinstance(each, str) and each for each in texts):
                what = "a list of texts" if several else "text"
                raise ConfigError(explain(f"host option {key} must be {what}.", given=repr(options[key])[:200]))
        for key, allowed in CHOICES.items():
            if values.get(key, allowed[0]) not in allowed:
                raise ConfigError(f"host option {key}={values[key]!r} must be one of {', '.join(allowed)}")
        return replace(self, **values)


DEFAULT_HOST = HostSpec()
