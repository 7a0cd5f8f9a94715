"""LLaVA hosts: LLaVA, ViP-LLaVA, LLaVA-NeXT, LLaVA-NeXT-Video, Video-LLaVA, with the CLS token as visual summary.

PARROT's router reads a prompt with the image's CLS token (arXiv 2406.02539, section 3.2). These hosts compute one and
then drop it; here it is fetched from the vision tower's hidden states and sent through the host's own projector.
LLaVA-OneVision needs no declaration: its SigLIP tower has no CLS token, and the library's defaults fit.

I  images or videos    M  pictures the tower saw (tiles, frames)    P  patches of one    C  tower width    D  LLM width
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from parrot_adapters import EncodedImages, HostSpec, hookimpl


def has_cls(base_model: Any) -> bool:
    """Whether the vision tower puts a learned CLS token before its patches (CLIP does, SigLIP and Pixtral do not)."""
    tower = _tower(base_model)
    return any(name.rpartition(".")[2] in ("class_embedding", "cls_token") for name, _ in tower.named_parameters())


def projected_cls(images: EncodedImages) -> Tensor | None:
    """The CLS token of each image, in the language model's width.

    Of LLaVA-NeXT's tiles the first is the whole image, so its CLS token stands for it; a LLaVA-NeXT video's is the
    mean over its frames (Video-LLaVA hands on every frame by itself). Gradients reach the projector, and the tower
    where it is trained.

    Returns:
        (I, D), or None where the output carries no hidden states (features somebody else encoded).
    """
    hidden = _selected(images)
    if hidden is None:
        return None
    cls = images.base_model.multi_modal_projector(hidden[:, :1]).squeeze(1)  # (M, C) -> (M, D)
    count, seen = len(images.features), cls.shape[0]
    tiles = _tiles(images) if images.modality == "image" else None
    if tiles is not None:
        starts = torch.tensor(tiles).cumsum(0) - torch.tensor(tiles)  # the whole image comes before its tiles
        return cls[starts.to(cls.device)] if sum(tiles) == seen else None
    return cls.unflatten(0, (count, seen // count)).mean(1) if seen % count == 0 else None


def _selected(images: EncodedImages) -> Tensor | None:
    """(M, 1 + P, C): the hidden states the host projects; several layers side by side, as it puts them."""
    layer = _setting(images, "vision_feature_layer")
    states = getattr(images.output, "hidden_states", None)
    if states is None:
        return None
    layers = list(layer) if isinstance(layer, Iterable) else [layer]
    chosen = [states[number] for number in layers]
    return None if any(state is None for state in chosen) else torch.cat(chosen, dim=-1)


def _tiles(images: EncodedImages) -> list[int] | None:
    """How many pictures the tower saw of each image; None for hosts that do not cut images into tiles."""
    config = images.base_model.config
    pinpoints, sizes = getattr(config, "image_grid_pinpoints", None), images.arguments.get("image_sizes")
    if pinpoints is None or sizes is None:
        return None
    from transformers.image_processing_utils import select_best_resolution

    side = config.vision_config.image_size
    grids = [select_best_resolution(tuple(int(n) for n in size), pinpoints) for size in sizes]
    return [1 + (height // side) * (width // side) for height, width in grids]


def _setting(images: EncodedImages, name: str) -> Any:
    """A setting the caller may give with each call, else the config's."""
    arguments: Mapping[str, Any] = images.arguments
    given = arguments.get(name)
    return getattr(images.base_model.config, name) if given is None else given


def _tower(base_model: Any) -> Any:
    return base_model.image_tower if hasattr(base_model, "image_tower") else base_model.vision_tower


LLAVA = HostSpec(
    model_types=("llava", "vipllava", "llava_next", "llava_next_video", "video_llava"),
    summary="cls",  # "mean" on hosts whose tower has none
    cls=projected_cls,
    has_cls=has_cls,
    projector=("multi_modal_projector",),
    vision_tower=("vision_tower", "image_tower"),
    language_model=("language_model",),
)


@hookimpl
def register_hosts(register: Any) -> None:
    register("llava", LLAVA)
