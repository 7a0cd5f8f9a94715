"""Images and videos as processors hand them over, and what some hosts want beside them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from miniatures.family import Encoded
from miniatures.prompts import END, IMAGE, INDICATORS, PATCH, SIDE, START, VIDEO


def picture(seed: int, *shape: int) -> Tensor:
    """Pixels of a seed, the same every time, never zero (an all-zero image is padding to some hosts)."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed + 1))


def stacked(tokens: int, *, side: int = SIDE, name: str = "pixel_values", framed: bool = False) -> Callable:
    """One (3, side, side) picture per image, ``tokens`` placeholders each."""

    def encode(rows: list[list[int]]) -> Encoded:
        seeds = [seed for row in rows for seed in row]
        ids = [IMAGE] * tokens
        return Encoded(
            {name: torch.stack([picture(seed, 3, side, side) for seed in seeds])},
            [[START, *ids, END] if framed else ids for _ in seeds],
        )

    return encode


def anyres(rows: list[list[int]]) -> Encoded:
    """LLaVA-NeXT: a base tile and the tiles of a grid. Even seeds are square, odd ones twice as wide as high."""
    seeds = [seed for row in rows for seed in row]
    sizes = [(SIDE, 2 * SIDE) if seed % 2 else (SIDE, SIDE) for seed in seeds]
    tiles = [3 if seed % 2 else 2 for seed in seeds]  # base and the grid [16, 32] or [16, 16]
    pixels = torch.zeros(len(seeds), max(tiles), 3, SIDE, SIDE)
    for number, (seed, count) in enumerate(zip(seeds, tiles, strict=True)):
        pixels[number, :count] = picture(seed, count, 3, SIDE, SIDE)
    side = SIDE // PATCH
    lengths = [side * side + side * (side * (count - 1) + 1) for count in tiles]  # a newline ends each line of the grid
    return Encoded(
        {"pixel_values": pixels, "image_sizes": torch.tensor(sizes)}, [[IMAGE] * length for length in lengths]
    )


def clip(frames: int, tokens: int) -> Callable:
    """Videos of (frames, 3, side, side), ``tokens`` placeholders each."""

    def encode(rows: list[list[int]]) -> Encoded:
        seeds = [seed for row in rows for seed in row]
        pixels = torch.stack([picture(seed, frames, 3, SIDE, SIDE) for seed in seeds])
        return Encoded({"pixel_values_videos": pixels}, [[VIDEO] * tokens for _ in seeds])

    return encode


def patches(
    grids: Callable[[int], tuple[int, int, int]],
    *,
    token: int = IMAGE,
    pixels: str = "pixel_values",
    grid: str = "image_grid_thw",
    temporal: int = 2,
    merge: int = 2,
    extra: Callable[[int], dict[str, Tensor]] = lambda count: {},
    framed: bool = True,
) -> Callable:
    """Qwen-VL: patches of all images end to end, with the grid (t, h, w) of each."""

    def encode(rows: list[list[int]]) -> Encoded:
        seeds = [seed for row in rows for seed in row]
        shapes = [grids(seed) for seed in seeds]
        flat = [
            picture(seed, t * h * w, 3 * temporal * PATCH * PATCH)
            for seed, (t, h, w) in zip(seeds, shapes, strict=True)
        ]
        tokens = [[token] * (t * h * w // merge**2) for t, h, w in shapes]
        if framed:
            tokens = [[START, *ids, END] for ids in tokens]
        return Encoded({pixels: torch.cat(flat), grid: torch.tensor(shapes)} | extra(len(seeds)), tokens)

    return encode


def by_row(tokens: int) -> Callable:
    """Idefics: (rows, images, 3, side, side), rows with fewer images filled with zeros."""

    def encode(rows: list[list[int]]) -> Encoded:
        pixels = torch.zeros(len(rows), max(map(len, rows)), 3, SIDE, SIDE)
        for number, row in enumerate(rows):
            for position, seed in enumerate(row):
                pixels[number, position] = picture(seed, 3, SIDE, SIDE)
        # The processor separates images of a prompt by ids of their own.
        return Encoded({"pixel_values": pixels}, [[START, *[IMAGE] * tokens, END] for row in rows for _ in row])

    return encode


def packed(rows: list[list[int]]) -> Encoded:
    """Pixtral: padded to the largest, true sizes beside; patches are merged 2 x 2. Odd seeds are half as high."""
    seeds = [seed for row in rows for seed in row]
    sizes = [(SIDE // 2 if seed % 2 else SIDE, SIDE) for seed in seeds]
    pixels = torch.zeros(len(seeds), 3, max(h for h, _ in sizes), SIDE)
    for number, (seed, (h, w)) in enumerate(zip(seeds, sizes, strict=True)):
        pixels[number, :, :h, :w] = picture(seed, 3, h, w)
    lengths = [(h // (2 * PATCH)) * (w // (2 * PATCH)) for h, w in sizes]
    return Encoded({"pixel_values": pixels, "image_sizes": torch.tensor(sizes)}, [[IMAGE] * n for n in lengths])


def naflex(rows: list[list[int]]) -> Encoded:
    """LFM2-VL: patches padded to the longest image, their true shapes beside."""
    seeds = [seed for row in rows for seed in row]
    shapes = [(2, 4) if seed % 2 else (4, 4) for seed in seeds]
    most = max(h * w for h, w in shapes)
    pixels = torch.zeros(len(seeds), most, 3 * PATCH * PATCH)
    mask = torch.zeros(len(seeds), most, dtype=torch.int32)
    for number, (seed, (h, w)) in enumerate(zip(seeds, shapes, strict=True)):
        pixels[number, : h * w] = picture(seed, h * w, 3 * PATCH * PATCH)
        mask[number, : h * w] = 1
    return Encoded(
        {"pixel_values": pixels, "spatial_shapes": torch.tensor(shapes), "pixel_attention_mask": mask},
        [[IMAGE] * (h * w // 4) for h, w in shapes],
    )


def indicated(rows: list[list[int]]) -> Encoded:
    """Ovis2: an image is framed by visual indicators, which the host replaces by embeddings of their own."""
    encoded = stacked(SIDE // PATCH * SIDE // PATCH)(rows)
    return Encoded(encoded.arguments, [[INDICATORS[0], *ids, INDICATORS[1]] for ids in encoded.tokens])


def flat_patches(rows: list[list[int]]) -> Encoded:
    """Fuyu: (images, patches, pixels of a patch)."""
    seeds = [seed for row in rows for seed in row]
    pixels = torch.stack([picture(seed, 4, 3 * PATCH * PATCH) for seed in seeds])
    return Encoded({"pixel_values": pixels}, [[IMAGE] * 4 for _ in seeds])


# --- further arguments -------------------------------------------------------------------------------------------


def mm_token_types(inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """Qwen-VL's positions read which token is text (0), image (1) or video (2)."""
    ids = inputs["input_ids"]
    return {"mm_token_type_ids": (ids == IMAGE).int() + 2 * (ids == VIDEO).int()}


def image_token_types(inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """Gemma 3 lets the tokens of an image see each other."""
    return {"token_type_ids": (inputs["input_ids"] == IMAGE).long()}


def prefix_token_types(inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """PaliGemma: 1 marks what is to be answered; here, nothing."""
    return {"token_type_ids": torch.zeros_like(inputs["input_ids"])}
