"""A miniature of a type of model, and valid inputs for it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import transformers
from miniatures import FAMILIES
from miniatures.own_calls import OWN_CALLS
from miniatures.prompts import BOS, END, FIRST_WORD, IMAGE, PAD, START, VIDEO, Image
from torch import Tensor
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES

from parrot_adapters.hosts.host_parts import resolve_spec
from parrot_adapters.testing import lively_weights
from support.every_host.pictures import TOKENS_EACH, kinds_for
from support.every_host.shrink import shrunk
from support.every_host.types import EXCEPTIONS, SIDES

__all__ = ["Miniature", "NotBuilt", "every_type", "miniature"]

LARGEST = 20_000_000  # parameters; more is a size that no rule has made small


class NotBuilt(Exception):
    """No miniature, or no inputs that it takes; the message says why."""


@dataclass
class Miniature:
    """A model and what makes its inputs.

    Attributes:
        build: makes the model; the same weights every time.
        batch: prompts of ids and :class:`Image` -> arguments of its forward.
        one_each: a prompt takes one picture, no more and no less.
        by_hand: its sizes were chosen by people, so that what fails is the model and not its size.
    """

    build: Callable[[], Any]
    batch: Callable[[Sequence[Any]], dict[str, Any]]
    one_each: bool = False
    by_hand: bool = False


def every_type() -> dict[str, str]:
    """Types and their classes: the image-text-to-text models of the installed release, and one listed elsewhere."""
    more = {"phi4_multimodal": "Phi4MultimodalForCausalLM"}
    return {**MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES, **{k: v for k, v in more.items() if hasattr(transformers, v)}}


def miniature(name: str) -> Miniature:
    """The miniature of a type.

    Raises:
        NotBuilt: nobody knows how; the message says what went wrong.
    """
    for families in (FAMILIES, OWN_CALLS):
        if name in families:
            return Miniature(families[name].build, families[name].batch, one_each=name == "git", by_hand=True)
    return _by_rules(name, every_type()[name])


def _by_rules(name: str, architecture: str) -> Miniature:
    def build() -> Any:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model = getattr(transformers, architecture)(config)
            lively_weights(model)
        model.eval()
        if getattr(model, "generation_config", None) is not None:
            model.generation_config.eos_token_id = None
            model.generation_config.pad_token_id = PAD
            model.generation_config.suppress_tokens = list(range(FIRST_WORD))
        return model

    try:
        config_class = CONFIG_MAPPING[name]
        values = shrunk(config_class().to_dict(), EXCEPTIONS.get(name, {}))
        config = config_class(**{key: value for key, value in values.items() if key != "model_type"})
        with torch.device("meta"):
            size = sum(parameter.numel() for parameter in getattr(transformers, architecture)(config).parameters())
    except Exception as error:
        raise NotBuilt(f"its configuration at a small size: {_said(error)}") from error
    if size > LARGEST:
        raise NotBuilt(f"{size:,} parameters at the smallest size that was tried")
    try:
        model = build()
    except Exception as error:
        raise NotBuilt(f"its weights: {_said(error)}") from error
    return Miniature(build, _Batches(name, model))


class _Batches:
    """Makes inputs of a model that nobody has described: its own encoder says how many visual tokens a picture is."""

    def __init__(self, name: str, model: Any) -> None:
        self.base = model.base_model if hasattr(model.base_model, "get_image_features") else model
        self.model = model
        self.field = resolve_spec(name)[0].feature_attribute
        self.takes = set(inspect.signature(type(self.base).forward).parameters)
        self.image = next(
            (
                v
                for n in ("image_token_id", "image_token_index")
                if isinstance(v := getattr(model.config, n, None), int)
            ),
            IMAGE,
        )
        self.kind: Any = None
        self.tried: list[str] = []
        if not hasattr(self.base, "get_image_features"):
            self.tried.append("it has no get_image_features to ask for the number of visual tokens")
            return
        encoder = set(inspect.signature(self.base.get_image_features).parameters)
        for kind in kinds_for(self.takes | encoder, SIDES.get(name)):
            try:
                if self._lengths(kind([[0, 2]])) and self._lengths(kind([[0, 2], [4]])):
                    self.kind = kind
                    return
            except Exception as error:
                self.tried.append(_said(error))

    def __call__(self, prompts: Sequence[Any]) -> dict[str, Any]:
        seeds = [[2 * part.seed for part in prompt if isinstance(part, Image)] for prompt in prompts]
        arguments: dict[str, Any] = {}
        lengths: list[int] = []
        if any(seeds):
            if self.kind is None:
                raise NotBuilt(f"no kind of picture that was tried is encoded; {'; '.join(self.tried[:3])}")
            arguments = {n: v for n, v in self.kind(seeds).items() if n in self.takes}
            lengths = self._lengths(self.kind(seeds))
        pictures = iter(lengths)
        rows = [
            [i for p in prompt for i in ([p] if isinstance(p, int) else [START, *[self.image] * next(pictures), END])]
            for prompt in prompts
        ]
        size = max(map(len, rows))
        ids, mask = torch.full((len(rows), size), PAD), torch.zeros(len(rows), size, dtype=torch.long)
        for number, row in enumerate(rows):
            ids[number, size - len(row) :], mask[number, size - len(row) :] = torch.tensor(row), 1
        made: dict[str, Any] = {"input_ids": ids, "attention_mask": mask, **arguments}
        is_image = ids == self.image
        for key in ("mm_token_type_ids", "token_type_ids"):
            if key in inspect.signature(type(self.model).forward).parameters:
                made[key] = is_image.int() if key.startswith("mm") else is_image.long()
        if "moe_mm_token_type_ids" in self.takes:
            made["moe_mm_token_type_ids"] = is_image.int()
        return made

    @torch.no_grad()
    def _lengths(self, arguments: Mapping[str, Tensor]) -> list[int]:
        """Visual tokens of each picture, as the model's own encoder makes them."""
        method = self.base.get_image_features
        takes = inspect.signature(method).parameters
        loose = any(p.kind is p.VAR_KEYWORD for p in takes.values()) and "args" in takes
        given = {n: value for n, value in arguments.items() if n != TOKENS_EACH and (n in takes or loose)}
        out = getattr(method(**given, return_dict=True), self.field)
        width = self.model.config.get_text_config().hidden_size
        items = [out] if isinstance(out, Tensor) and out.dim() == 2 else list(out)
        sizes = [item.reshape(-1, item.shape[-1]).shape[0] for item in items]
        if any(item.shape[-1] != width for item in items) or not all(torch.isfinite(item).all() for item in items):
            raise NotBuilt(f"its features are {[tuple(item.shape) for item in items]}, its text has width {width}")
        if TOKENS_EACH in arguments:
            wanted: list[int] = arguments[TOKENS_EACH].tolist()
            if sum(sizes) != sum(wanted):
                raise NotBuilt(f"{sum(sizes)} visual tokens of pictures that have {wanted}")
            return wanted
        count = arguments["image_grid_thw"].shape[0] if "image_grid_thw" in arguments else None
        count = count or _count(arguments)
        if len(sizes) == count:
            return sizes
        if sum(sizes) % count:
            raise NotBuilt(f"{sum(sizes)} visual tokens of {count} pictures")
        return [sum(sizes) // count] * count


def _count(arguments: Mapping[str, Tensor]) -> int:
    for name in ("image_grid_hw", "target_sizes", "image_grids", "image_sizes", "spatial_shapes"):
        if name in arguments:
            return len(arguments[name])
    pixels = arguments["pixel_values"]
    if pixels.dim() == 5:  # rows of pictures, filled up with zeros
        return int(pixels.flatten(2).abs().sum(-1).gt(0).sum())
    return len(pixels)


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"


WORDS = (BOS, VIDEO)  # what else a prompt may hold
