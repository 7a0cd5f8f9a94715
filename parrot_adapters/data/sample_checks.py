"""What makes a sample unusable: one list of checks, for ``parrot data check``, ``parrot plan`` and whoever else asks.

A run asks the same of each sample, in the collator, when it comes to it; what is asked here of a host's template and
processor is the collator's own code. Records that cannot be read, pictures outside of their folder and fields that no
format reads are found before there is a sample, by ``IndexedSamples``, for all three alike.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from parrot_adapters.data.decode_pictures import picture_size, read_picture
from parrot_adapters.data.decode_videos import given_as_pictures, video_shape
from parrot_adapters.data.dialogue import Dialogue, Picture, Video
from parrot_adapters.data.problems import BadSample
from parrot_adapters.errors import MissingDependencyError

__all__ = ["CHECKS", "Looked", "SampleChecks"]

Size = tuple[int, int]
"""Height and width of a picture."""


@dataclass
class Looked:
    """One sample while it is looked at.

    Attributes:
        dialogue: The sample.
        pictures: Size of each of its pictures, or what is wrong with it.
        checks: Who looks.
        length: Tokens, visual ones included; characters without a host. 0 before it is known.
        shapes: Frames, height and width of each of its videos, as far as they are known.
    """

    dialogue: Dialogue
    pictures: list[Size | BadSample]
    checks: SampleChecks
    length: int = 0
    shapes: set[tuple[int, ...]] = field(default_factory=set)


def _pictures_can_be_shown(looked: Looked) -> None:
    for size in looked.pictures:
        if isinstance(size, BadSample):
            raise size


def _videos_can_be_opened(looked: Looked) -> None:
    """Frames that are pictures are looked at as such; those of files are not decoded."""
    for video in _videos(looked.dialogue):
        for frame in given_as_pictures(video) or ():
            size = looked.checks.size_of(frame)
            if isinstance(size, BadSample):
                raise size
        try:
            shape = video_shape(video)
        except MissingDependencyError:  # without a decoder, what can be said is whether it is there
            if video.path is not None and not Path(video.path).is_file():
                raise BadSample("bad-video", f"{video.path} is not there, or is no file") from None
            looked.shapes.add(())  # of some shape: whether the host takes videos at all can still be asked
            continue
        looked.shapes.add((shape.frames, shape.height, shape.width))


def _is_not_too_long(looked: Looked) -> None:
    collator, turns = looked.checks.collator, looked.dialogue.turns
    if collator is None:
        looked.length = sum(len(part) for turn in turns for part in turn.parts if isinstance(part, str))
        return
    looked.length = int(collator.length(looked.dialogue))
    if looked.length > collator.max_length:
        raise BadSample("over-long", f"{looked.length} tokens; at most {collator.max_length} are allowed")


def _host_takes_it(looked: Looked) -> None:
    """As training will make its batch; once for pictures or videos of one size, which a processor treats alike."""
    checks = looked.checks
    shapes = looked.shapes | {size for size in looked.pictures if not isinstance(size, BadSample)}
    if checks.collator is not None and not checks.headers_only and not shapes <= checks.taken:
        checks.collator.check(looked.dialogue)
        checks.taken |= shapes


def _videos(dialogue: Dialogue) -> list[Video]:
    return [part for turn in dialogue.turns for part in turn.parts if isinstance(part, Video)]


CHECKS: tuple[Callable[[Looked], None], ...] = (
    _pictures_can_be_shown,
    _videos_can_be_opened,
    _is_not_too_long,
    _host_takes_it,
)
"""In the order in which they are asked; the first that raises names the sample's problem."""


class SampleChecks:
    """Asks all of :data:`CHECKS` of samples.

    Args:
        collator: A :class:`Collator`, for lengths in tokens and for what only the host can refuse; None for no host.
        headers_only: Whether pictures are left undecoded, which misses broken ones.
    """

    def __init__(self, collator: Any = None, *, headers_only: bool = False) -> None:
        self.collator, self.headers_only = collator, headers_only
        self.taken: set[tuple[int, ...]] = set()  # sizes of pictures and videos that the processor takes
        self._known: dict[str, Size | BadSample] = {}  # each file is examined once

    def __call__(self, looked: Looked) -> None:
        """Ask them of a sample.

        Raises:
            BadSample: What is wrong with it.
        """
        for check in CHECKS:
            check(looked)

    def look(self, dialogue: Dialogue) -> Looked:
        """A sample with its pictures examined, to be asked about."""
        shown = [part for turn in dialogue.turns for part in turn.parts if isinstance(part, Picture)]
        return Looked(dialogue, [self.size_of(picture) for picture in shown], self)

    def size_of(self, picture: Picture) -> Size | BadSample:
        """Size of a picture, or what is wrong with it; several threads may ask."""
        if picture.path is not None and picture.path in self._known:
            return self._known[picture.path]
        answer: Size | BadSample
        try:
            if self.headers_only:
                answer = picture_size(picture)
            else:
                width, height = read_picture(picture).size
                answer = (height, width)
        except BadSample as problem:
            answer = problem
        if picture.path is not None:
            self._known[picture.path] = answer
        return answer
