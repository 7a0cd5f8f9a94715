"""The vocabulary that all miniatures share, and prompts of words, images and videos."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

PAD, BOS, EOS, IMAGE, VIDEO, START, END = 0, 1, 2, 3, 4, 5, 6
TURN, END_TURN, USER, ASSISTANT, SYSTEM = 14, 15, 16, 17, 18  # of the chat template; the roles are ordinary words
VIDEO_START, VIDEO_END = 12, 13  # of glm4v
INDICATORS = (7, 8, 9, 10, 11)  # of ovis2
FIRST_WORD, VOCABULARY = 20, 96
WIDTH = 32
SIDE, PATCH = 16, 4  # pixels of an image, of a patch: 4 x 4 patches


@dataclass(frozen=True)
class Image:
    """An image in a prompt. The seed decides its pixels and, for hosts of dynamic resolution, its size."""

    seed: int


@dataclass(frozen=True)
class Video:
    """A video in a prompt, of two frames or more."""

    seed: int


Prompt = Sequence[int | Image | Video]

# Several images in a row, one, none; rows of different lengths.
PROMPTS: tuple[Prompt, ...] = (
    (BOS, 20, 21, Image(0), 22, Image(1), 23, 24, 25),
    (BOS, 30, Image(2), 31),
    (BOS, 40, 41, 42),
)
