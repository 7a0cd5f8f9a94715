"""The host: a real `LlavaForConditionalGeneration`, a fiftieth of a percent of the usual size.

EfficientNet-Lite0 sees, a two-layer projector translates, a Qwen2 of one million parameters speaks (or a pretrained
model of a package, :mod:`.pretrained`). Everything the
adapter meets here (placeholders, generate, padding, checkpoints) is what it meets on a host of seven billion.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from .concepts import Concept, stable_fraction
from .processor import load_processor
from .tokenizer import IMAGE, Vocabulary, load_tokenizer

if TYPE_CHECKING:
    import numpy as np
    from transformers import LlavaForConditionalGeneration, PreTrainedModel, PreTrainedTokenizerFast

    from .vision import EmojiTower

__all__ = [
    "build_host",
    "fresh_host",
    "load_host",
    "load_text_model_and_tokenizer",
    "load_vocabulary",
    "projector",
    "save_host",
]

CALIBRATION = 256  # training pictures are enough to centre and scale the tower's features


def build_host(
    tower: EmojiTower, text_model: PreTrainedModel, seed: int = 0, image: int = IMAGE
) -> LlavaForConditionalGeneration:
    """Join both with a new projector. Nothing but the projector can be trained until someone says otherwise.

    Args:
        tower: sees.
        text_model: a causal language model whose output head is its embedding table.
        seed: of the projector.
        image: the text model's id of a picture's placeholder.
    """
    from parrot_adapters.testing import small_llava

    host = small_llava(
        text=text_model.config,
        vision=tower.config,
        image=image,
        seed=seed,
        lively=False,
        image_seq_length=tower.config.grid**2,
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",  # no CLS token to drop
        tie_word_embeddings=True,
    )
    host.model.vision_tower.load_state_dict(tower.state_dict())
    host.model.language_model.load_state_dict(text_model.model.state_dict())
    host.tie_weights()
    host.requires_grad_(False)
    projector(host).requires_grad_(True)
    host.generation_config = text_model.generation_config
    return host.eval()


def fresh_host(
    concepts: Sequence[Concept],
    pictures: np.ndarray,
    text_model: PreTrainedModel,
    *,
    image: int = IMAGE,
    grid: int = 3,
    seed: int = 0,
) -> LlavaForConditionalGeneration:
    """The host before any training of ours: what stage 1 starts from.

    Args:
        concepts: the tower is calibrated on some of the seen ones, chosen by hash.
        pictures: their training art, uint8 (concepts, P, P, 3).
        text_model: speaks.
        image: its id of a picture's placeholder.
        grid: grid x grid visual tokens.
        seed: of the projector.
    """
    from .features import encode
    from .vision import EmojiTowerConfig, load_tower

    seen = [index for index, concept in enumerate(concepts) if concept.split == "seen"]
    seen.sort(key=lambda index: stable_fraction(f"calibration/{concepts[index].code}"))
    chosen = torch.from_numpy(pictures[seen[:CALIBRATION]]).permute(0, 3, 1, 2).float() / 255
    tower = load_tower(EmojiTowerConfig(grid=grid))
    tower.calibrate(encode(tower, chosen))
    return build_host(tower, text_model, seed, image)


def load_text_model_and_tokenizer(kind: str, seed: int = 0) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """What speaks in a host: a text model of this recipe, or a pretrained one of a package.

    Args:
        kind: ``"siloed"`` or ``"linked"``, or a key of :data:`.pretrained.PRETRAINED`.
        seed: of this recipe's own pre-training; a pretrained model has one state only.
    """
    from .pretrained import PRETRAINED, load_pretrained
    from .text_model import load_text_model

    if kind in PRETRAINED:
        return load_pretrained(kind)
    return load_text_model(kind, seed), load_tokenizer()


def projector(host: LlavaForConditionalGeneration) -> nn.Module:
    return host.model.multi_modal_projector


def save_host(
    host: LlavaForConditionalGeneration, directory: Path, tokenizer: PreTrainedTokenizerFast | None = None
) -> None:
    """A standard checkpoint directory: `AutoModelForImageTextToText` and `AutoProcessor` load it.

    For the former the tower's class must be known: `import parrot_adapters` sees to that, by :mod:`.plugin`.

    Args:
        host: the host.
        directory: where.
        tokenizer: of its text model; None for the miniature's.
    """
    host.save_pretrained(directory)
    load_processor(host.config.vision_config.grid, tokenizer).save_pretrained(directory)


def load_vocabulary(directory: Path) -> Vocabulary:
    """The words of the host that :func:`save_host` wrote."""
    from transformers import PreTrainedTokenizerFast

    return Vocabulary(PreTrainedTokenizerFast.from_pretrained(directory))


def load_host(directory: Path) -> LlavaForConditionalGeneration:
    """What :func:`save_host` wrote. Importing this package is what makes the tower's class known to transformers."""
    from transformers import LlavaForConditionalGeneration

    from . import vision  # noqa: F401  registers the tower

    return LlavaForConditionalGeneration.from_pretrained(directory).eval()
