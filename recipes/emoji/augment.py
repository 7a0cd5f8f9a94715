"""Views of the training art: what one artist's drawing of a thing may look like in another's hand.

B  pictures    P  pixels a side
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample, max_pool2d

__all__ = ["ink", "jitter", "training_views"]


def training_views(pictures: Tensor, count: int, generator: torch.Generator, flip: Tensor | None = None) -> Tensor:
    """(B, 3, P, P) in [0, 1] -> (count, B, 3, P, P): as drawn, inked, then moved and recoloured, every other one inked.

    Args:
        pictures: the training art.
        count: views of each picture.
        generator: where the randomness comes from.
        flip: (B,) bool, which pictures may be mirrored; None for all.
    """
    views = [pictures, ink(pictures)]
    while len(views) < count:
        view = jitter(pictures, generator, flip)
        views.append(ink(view) if len(views) % 2 else view)
    return torch.stack(views[:count])


def ink(pictures: Tensor, width: int = 3, threshold: float = 0.1, softness: float = 0.25) -> Tensor:
    """Draw a black line wherever neighbouring colours differ: flat art becomes line art."""
    brightest = max_pool2d(pictures, width, stride=1, padding=width // 2)
    darkest = -max_pool2d(-pictures, width, stride=1, padding=width // 2)
    contrast = (brightest - darkest).amax(1, keepdim=True)  # (B, 1, P, P)
    return pictures * (1 - ((contrast - threshold) / softness).clamp(0, 1))


def jitter(pictures: Tensor, generator: torch.Generator, flip: Tensor | None = None) -> Tensor:
    """Rotate by up to 14 degrees, scale, shift, mirror half of what may be mirrored, change saturation and tint."""

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(*shape, generator=generator)

    count = len(pictures)
    angle, zoom = uniform(-0.25, 0.25, count), 1 / uniform(0.75, 1.1, count)
    mirrored = uniform(0, 1, count) < 0.5
    if flip is not None:
        mirrored &= flip
    side = torch.where(mirrored, -1.0, 1.0)
    matrix = torch.stack(
        [
            torch.stack([zoom * angle.cos() * side, -zoom * angle.sin(), uniform(-0.1, 0.1, count)], -1),
            torch.stack([zoom * angle.sin() * side, zoom * angle.cos(), uniform(-0.1, 0.1, count)], -1),
        ],
        1,
    )  # (B, 2, 3)
    grid = affine_grid(matrix, list(pictures.shape), align_corners=False)
    moved = 1 - grid_sample(1 - pictures, grid, align_corners=False)  # what moves in from outside is white
    grey = moved.mean(1, keepdim=True)
    coloured = grey + (moved - grey) * uniform(0.5, 1.5, count, 1, 1, 1)
    return (1 - (1 - coloured) * uniform(0.75, 1.25, count, 3, 1, 1)).clamp(0, 1)  # white stays white
