"""A host as its config describes it, without weights; and a micro-batch for it when there is no data at hand."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from parrot_adapters.adapter.adapter_files import LORA_CONFIG
from parrot_adapters.adapter.attach import attach, attach_projector
from parrot_adapters.adapter.handle import Attachment
from parrot_adapters.bounded_json import read_json_object
from parrot_adapters.core.types import IGNORED
from parrot_adapters.errors import ConfigError, ParrotError, explain
from parrot_adapters.hosts.lora import lora_arguments
from parrot_adapters.hosts.model_classes import make_classes_known
from parrot_adapters.training.parameter_roles import set_trainable
from parrot_adapters.training.recompute import recompute_activations
from parrot_adapters.training.training_config import TrainingConfig

__all__ = ["attach_to_nothing", "held_beside", "imagined_batch", "read_host_config", "text_batch"]

Pixels = Callable[[int], dict[str, Tensor]]  # of so many pictures

PIXELS = 1280 * 28 * 28  # of a picture at a host of dynamic resolution, if its processor is not told otherwise


def read_host_config(path: str) -> Any:
    """The config of a host.

    Args:
        path: directory or Hub name.

    Raises:
        ConfigError: there is none to be had.
    """
    from transformers import AutoConfig

    make_classes_known(path)
    try:
        return AutoConfig.from_pretrained(path)
    except Exception as error:  # transformers raises a dozen kinds here
        raise ConfigError(
            explain(
                "the host's config.json cannot be read; a plan needs it, and no weights.",
                given=path,
                because=(str(error).strip() or type(error).__name__).splitlines()[0],
                to_do="give a directory that holds it (host.path=DIR), or connect to the Hub once",
            )
        ) from error


def attach_to_nothing(run: TrainingConfig, host_config: Any, processor: Any = None) -> Attachment:
    """The run's adapter on its host, all on the meta device, with exactly what trains made trainable.

    Args:
        run: what ``train`` leaves open is decided.
        host_config: of :func:`read_host_config`.
        processor: the host's, if there is one.

    Raises:
        ConfigError: this host cannot be made from a config, or has nothing of what should train.
        HostError: it cannot carry an adapter.
    """
    from transformers import AutoModelForImageTextToText
    from transformers.initialization import no_init_weights

    options = {} if run.host.attention is None else {"attn_implementation": run.host.attention}
    dtype = getattr(torch, run.host.dtype)
    with torch.device("meta"):
        try:
            with no_init_weights():
                model = AutoModelForImageTextToText.from_config(host_config, dtype=dtype, **options)
            model.tie_weights()
        except Exception as error:  # of any host's own code
            raise ConfigError(
                explain(
                    "the host cannot be made from its config.",
                    given=f"model_type {host_config.model_type!r}",
                    because=(str(error).strip() or type(error).__name__).splitlines()[0],
                )
            ) from error
        handle = _attached(run, model, processor)
    set_trainable(handle, run)
    model.train()
    if run.engine.gradient_checkpointing:
        recompute_activations(model)
    return handle


def _attached(run: TrainingConfig, model: Any, processor: Any) -> Attachment:
    """As the recipes attach: a projector that trains belongs to the adapter, unless the whole host is saved."""
    full = run.train.language_model == "full"
    lora = dict(run.lora) if run.train.language_model == "lora" else None if full else _kept_lora(run)
    if run.adapter is None:
        handle = attach_projector(model, processor=processor, lora=lora)
        if full:
            handle.merge_projector()
    else:
        owns = bool(run.train.projector) and not full
        handle = attach(model, run.adapter, processor=processor, train_projector=owns, lora=lora)
    handle.add_losses(run.losses, run.loss_options)
    return handle


def _kept_lora(run: TrainingConfig) -> dict[str, Any] | None:
    """Settings of the LoRA that a run takes over without training it, where they can be read here."""
    path = None if run.start_from is None else Path(run.start_from) / LORA_CONFIG
    try:
        return None if path is None or not path.is_file() else lora_arguments(read_json_object(path))
    except (OSError, ValueError, ParrotError):
        return None  # the run says what is wrong


def held_beside(handle: Attachment, run: TrainingConfig) -> int:
    """Bytes of the host's own projector, kept while the adapter's trains in its place."""
    if handle.projector is None or not run.train.projector or run.train.language_model == "full":
        return 0
    return sum(p.numel() for p in handle.projector.parameters()) * getattr(torch, run.host.dtype).itemsize


def imagined_batch(handle: Attachment, rows: int, length: int, settings: Mapping[str, Any]) -> dict[str, Any] | None:
    """Rows of a length with one picture each, as a processor would make them.

    Two layouts of pixels are known, which most hosts have: pictures of the tower's own size, and Qwen-VL's patches.

    Args:
        handle: with fake weights; its vision is run on one picture to see how many tokens that makes.
        rows: R.
        length: S.
        settings: of the processor; ``max_pixels`` counts at hosts of dynamic resolution.

    Returns:
        the host's arguments with labels; None for a host whose pixels are laid out in another way.
    """
    encoder = handle.parts.encoders["image"]
    pixels = _patches(handle, settings) if "image_grid_thw" in encoder.arguments else _stacked(handle)
    if pixels is None:
        return None
    try:
        with torch.no_grad():
            found = getattr(handle.parts.base, encoder.method)(**pixels(1), return_dict=True)
        tokens = sum(len(one) for one in getattr(found, handle.parts.spec.feature_attribute))
    except Exception:  # of a host that takes more than pixels
        return None
    size = max(length, tokens + 4)
    ids = torch.full((rows, size), _word(handle))
    ids[:, 2 : 2 + tokens] = encoder.token_id
    shown = ids == encoder.token_id
    batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": ids.masked_fill(shown, IGNORED)}
    if "mm_token_type_ids" in inspect.signature(type(handle.parts.base).forward).parameters:
        batch["mm_token_type_ids"] = shown.int()
    return batch | pixels(rows)


def text_batch(handle: Attachment, rows: int, length: int) -> dict[str, Any]:
    """Rows of a length without pictures."""
    ids = torch.full((rows, length), _word(handle))
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": ids.clone()}


def _stacked(handle: Attachment) -> Pixels | None:
    vision = getattr(handle.parts.config, "vision_config", None)
    side = getattr(vision, "image_size", None)
    if side is None:
        return None
    height, width = side if isinstance(side, list | tuple) else (side, side)
    name = handle.parts.encoders["image"].pixels
    return lambda count: {name: torch.zeros(count, getattr(vision, "num_channels", 3), height, width)}


def _patches(handle: Attachment, settings: Mapping[str, Any]) -> Pixels:
    vision = handle.parts.config.vision_config
    unit = vision.patch_size * vision.spatial_merge_size
    side = max(1, int(math.sqrt(settings.get("max_pixels", PIXELS)) / unit)) * vision.spatial_merge_size
    width = getattr(vision, "in_channels", 3) * getattr(vision, "temporal_patch_size", 1) * vision.patch_size**2

    def pixels(count: int) -> dict[str, Tensor]:
        grid = torch.tensor([[1, side, side]] * count)
        name = handle.parts.encoders["image"].pixels
        return {name: torch.zeros(count * side * side, width), "image_grid_thw": grid}

    return pixels


def _word(handle: Attachment) -> int:
    """An id that is no placeholder."""
    taken = {encoder.token_id for encoder in handle.parts.encoders.values()} | set(handle.special_ids)
    return next(number for number in range(len(taken) + 1) if number not in taken)
