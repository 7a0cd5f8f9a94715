"""Pictures as processors hand them over, of every kind that some type takes.

The first kind that a model encodes is taken to be its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from miniatures.pictures import anyres, by_row, naflex, packed, picture
from miniatures.prompts import PATCH, SIDE
from torch import Tensor

Rows = list[list[int]]
Kind = Callable[[Rows], dict[str, Tensor]]

__all__ = ["TOKENS_EACH", "kinds_for"]

TOKENS_EACH = "tokens_each"  # no argument: visual tokens of each picture, where the encoder does not tell them apart


def kinds_for(takes: set[str], side: int | None = None) -> Iterator[Kind]:
    """Kinds of pictures whose arguments a model's encoder takes, the most particular first.

    Args:
        takes: names of its arguments.
        side: of a picture, for models that are known to need another one.
    """
    if side is not None:
        yield _stacked(side)
    for grid in ("image_grid_thw", "image_grid_hw"):
        if grid in takes:
            for channels in (2 * 3 * PATCH * PATCH, 3 * PATCH * PATCH):
                yield _grid(grid, channels)
            yield _grid_of_pictures(grid)
            yield _blocks
    if "target_sizes" in takes:
        yield _target_sizes
    if "image_position_ids" in takes:
        for size in (PATCH, 3 * PATCH):
            yield _placed(size)
    if "image_token_pooling" in takes:
        yield _pooled
    if "spatial_shapes" in takes:
        yield lambda rows: naflex(rows).arguments
    if "high_res_pixel_values" in takes:
        yield _two_sizes
    if "pixel_attention_mask" in takes:
        yield _masked_rows
    if "image_sizes" in takes:
        yield lambda rows: packed(rows).arguments
        yield lambda rows: anyres(rows).arguments
    for side in (SIDE, 2 * SIDE, 4 * SIDE):
        yield _stacked(side)
    yield lambda rows: by_row(1)(rows).arguments
    yield _tiles
    yield _patches_last


def _flat(rows: Rows) -> list[int]:
    return [seed for row in rows for seed in row]


def _stacked(side: int) -> Kind:
    return lambda rows: {"pixel_values": torch.stack([picture(seed, 3, side, side) for seed in _flat(rows)])}


def _tiles(rows: Rows) -> dict[str, Tensor]:
    return {"pixel_values": torch.stack([picture(seed, 1, 3, SIDE, SIDE) for seed in _flat(rows)])}


def _grid(name: str, channels: int) -> Kind:
    def make(rows: Rows) -> dict[str, Tensor]:
        shapes = [(1, 4, 4) if seed % 2 == 0 else (1, 2, 4) for seed in _flat(rows)]
        patches = [picture(s, t * h * w, channels) for s, (t, h, w) in zip(_flat(rows), shapes, strict=True)]
        return {
            "pixel_values": torch.cat(patches),
            name: torch.tensor(
                [shape[-2:] if name.endswith("hw") and not name.endswith("thw") else shape for shape in shapes]
            ),
        }

    return make


def _grid_of_pictures(name: str) -> Kind:
    """Patches as little pictures: (N, 3, patch, patch)."""

    def make(rows: Rows) -> dict[str, Tensor]:
        made = _grid(name, 3 * PATCH * PATCH)(rows)
        return {**made, "pixel_values": made["pixel_values"].view(-1, 3, PATCH, PATCH)}

    return make


def _target_sizes(rows: Rows) -> dict[str, Tensor]:
    """MiniCPM-V: patches of all pictures side by side in one long picture, with the grid of each."""
    sizes = [(4, 4) for _ in _flat(rows)]
    pixels = torch.cat([picture(seed, 3, PATCH, 16 * PATCH) for seed in _flat(rows)], -1)[None]
    return {"pixel_values": pixels, "target_sizes": torch.tensor(sizes)}


def _placed(patch: int) -> Kind:
    """Gemma 4: patches, and the column and row of each."""

    def make(rows: Rows) -> dict[str, Tensor]:
        side = 6
        places = torch.tensor([[x, y] for y in range(side) for x in range(side)])
        pixels = torch.stack([picture(seed, side * side, 3 * patch * patch).sigmoid() for seed in _flat(rows)])
        return {"pixel_values": pixels, "image_position_ids": places.expand(len(pixels), -1, -1).clone()}

    return make


def _pooled(rows: Rows) -> dict[str, Tensor]:
    """Molmo 2: crops of patches, and which patches make up each visual token."""
    seeds = _flat(rows)
    pixels = torch.stack([picture(seed, 16, 3 * PATCH * PATCH) for seed in seeds])
    one = torch.tensor([[0, 1, 4, 5], [2, 3, 6, 7], [8, 9, 12, 13], [10, 11, 14, 15]])
    pooling = torch.cat([one + 16 * number for number in range(len(seeds))])
    return {
        "pixel_values": pixels,
        "image_token_pooling": pooling,
        "image_grids": torch.tensor([[2, 2, 0, 0]] * len(seeds)),
        "image_num_crops": torch.ones(len(seeds), dtype=torch.long),
    }


def _two_sizes(rows: Rows) -> dict[str, Tensor]:
    small = _stacked(SIDE)(rows)["pixel_values"]
    large = torch.stack([picture(seed + 100, 3, SIDE, SIDE) for seed in _flat(rows)])
    return {"pixel_values": small, "high_res_pixel_values": large}


def _masked_rows(rows: Rows) -> dict[str, Tensor]:
    pixels: Any = by_row(1)(rows).arguments["pixel_values"]
    return {"pixel_values": pixels, "pixel_attention_mask": pixels.flatten(2).abs().sum(-1) > 0}


def _blocks(rows: Rows) -> dict[str, Tensor]:
    """Inkling 2: blocks of the patches that are merged, channels last; the grid counts blocks."""
    seeds = _flat(rows)
    pixels = torch.cat([picture(seed, 4, 2 * PATCH, 2 * PATCH, 3) for seed in seeds])
    return {"pixel_values": pixels, "image_grid_thw": torch.tensor([[1, 2, 2]] * len(seeds))}


def _patches_last(rows: Rows) -> dict[str, Tensor]:
    """Inkling: every patch, two frames and channels last, is a visual token; nothing says where a picture ends."""
    counts = [4 if seed % 4 == 0 else 2 for seed in _flat(rows)]
    patches = [picture(s, n, 2, PATCH, PATCH, 3) for s, n in zip(_flat(rows), counts, strict=True)]
    return {"pixel_values": torch.cat(patches), TOKENS_EACH: torch.tensor(counts)}
