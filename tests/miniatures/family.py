"""What a family of hosts is in miniature: how to build one model, and how to make its inputs."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import transformers
from torch import Tensor

from miniatures.prompts import FIRST_WORD, PAD, Image, Prompt, Video
from parrot_adapters.testing import lively_weights


@dataclass
class Encoded:
    """Images as a host takes them.

    Attributes:
        arguments: of the host's forward.
        tokens: the ids to put in the prompt for each image, in order.
    """

    arguments: dict[str, Tensor]
    tokens: list[list[int]]


@dataclass(frozen=True, eq=False)
class Family:
    """A family of hosts in miniature.

    Attributes:
        name: its ``config.model_type``.
        architecture: name of the class with a language-model head.
        config: makes the config.
        images: rows of image seeds -> what the processor would make of them.
        videos: likewise for videos; None where the family has none.
        extra: further arguments computed from the finished batch.
        twin: another family that is reached in the same way; None for one that is like no other.
        unit: what one routing is for.
        together: whether a batch may hold images and videos.
        known: documented faults of the host itself: name of a test -> reason.
    """

    name: str
    architecture: str
    config: Callable[[], Any]
    images: Callable[[list[list[int]]], Encoded]
    videos: Callable[[list[list[int]]], Encoded] | None = None
    extra: Callable[[dict[str, Tensor]], dict[str, Tensor]] = lambda inputs: {}
    twin: str | None = None
    unit: str = "item"
    together: bool = True
    known: dict[str, str] = field(default_factory=dict)

    def build(self) -> Any:
        """The model, in float32 and eval mode; the same weights every time, and never run before."""
        return copy.deepcopy(_pristine(self))

    def batch(self, prompts: Sequence[Prompt], *, padding: str = "left", min_length: int = 0) -> dict[str, Any]:
        """Arguments of the host's forward for some prompts.

        Args:
            prompts: word ids, :class:`Image` and :class:`Video`.
            padding: ``"left"`` or ``"right"``.
            min_length: pad at least to this length.
        """
        inputs: dict[str, Any] = {}
        ids: dict[type, Any] = {}
        for kind, encode in ((Image, self.images), (Video, self.videos)):
            seeds = [[part.seed for part in prompt if isinstance(part, kind)] for prompt in prompts]
            if any(seeds):
                assert encode is not None, f"{self.name} takes no {kind.__name__}"
                encoded = encode(seeds)
                inputs |= encoded.arguments
                ids[kind] = iter(encoded.tokens)
        rows = [
            [i for part in prompt for i in ([part] if isinstance(part, int) else next(ids[type(part)]))]
            for prompt in prompts
        ]
        size = max(min_length, *map(len, rows))
        input_ids = torch.full((len(rows), size), PAD)
        mask = torch.zeros_like(input_ids)
        for number, row in enumerate(rows):
            here = slice(size - len(row), size) if padding == "left" else slice(0, len(row))
            input_ids[number, here] = torch.tensor(row)
            mask[number, here] = 1
        # Text first, as processors do: generate takes the batch size from the first tensor it finds.
        inputs = {"input_ids": input_ids, "attention_mask": mask} | inputs
        return inputs | self.extra(inputs)


@functools.cache
def _pristine(family: Family) -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = getattr(transformers, family.architecture)(family.config())
        lively_weights(model)
    model.eval()
    model.generation_config.eos_token_id = None  # so that generation has a fixed length
    model.generation_config.pad_token_id = PAD
    model.generation_config.suppress_tokens = list(range(FIRST_WORD))  # a generated placeholder has no image
    return model
