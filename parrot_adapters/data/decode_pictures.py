"""Decode pictures exactly as the evaluation does: first frame, ``convert("RGB")``, EXIF orientation left alone.

What a host is trained on must be what it is asked about. The benchmark harness and the original training code decode
with ``Image.open(...).convert("RGB")`` and nothing else, so a photo whose EXIF says "rotated" is shown as it is stored,
alpha is dropped, and of an animation the first frame is taken. 16-bit grey is scaled to 8 bits, where Pillow would
clip it to white. A picture that cannot be decoded is a bad sample; nothing is ever put in its place.
"""

from __future__ import annotations

import io
import re
import warnings
from typing import TYPE_CHECKING, Any

from parrot_adapters.data.dialogue import Picture
from parrot_adapters.data.problems import BadSample
from parrot_adapters.data.stored import stored_bytes
from parrot_adapters.errors import MissingDependencyError, first_line

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["as_rgb", "by_number", "picture_size", "read_picture"]

DEEP = ("I;16", "I;16B", "I;16L", "I;16N")


def read_picture(picture: Picture) -> Image:
    """The decoded picture, RGB.

    Raises:
        BadSample: its file is missing, it cannot be decoded, or it is too large to decode safely.
        MissingDependencyError: Pillow is not installed.
    """
    image = _opened(picture)
    with image:
        try:
            return as_rgb(image)
        except (OSError, SyntaxError, ValueError, EOFError, MemoryError) as error:
            raise BadSample("broken-image", f"{_named(picture)}: {first_line(error)}") from None


def as_rgb(image: Image) -> Image:
    """An opened picture as hosts are shown it: the rule of training and evaluation alike."""
    if image.mode in DEEP:  # 0..65535
        return image.point(lambda value: value * (1 / 256), "L").convert("RGB")
    return image.convert("RGB")


def picture_size(picture: Picture) -> tuple[int, int]:
    """Height and width, from the header alone.

    Raises:
        BadSample: as :func:`read_picture`, as far as the header tells.
    """
    with _opened(picture) as image:
        width, height = image.size
    return height, width


def by_number(name: str) -> list[tuple[int, str]]:
    """Sorts names of pictures that belong together: 2.jpg before 10.jpg."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name) if part]


def _opened(picture: Picture) -> Any:
    pillow = _pillow()
    data = picture.data if picture.stored is None else stored_bytes(picture.stored)
    source: Any = picture.path if data is None else io.BytesIO(data)
    if source is None:
        raise BadSample("missing-image", "a picture with neither a path nor bytes")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", pillow.DecompressionBombWarning)  # refused below, not warned about
            image = pillow.open(source)
    except (FileNotFoundError, NotADirectoryError):
        raise BadSample("missing-image", _named(picture)) from None
    except pillow.DecompressionBombError as error:
        raise BadSample("image-too-large", f"{_named(picture)}: {first_line(error)}") from None
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise BadSample("broken-image", f"{_named(picture)}: {first_line(error)}") from None
    limit = pillow.MAX_IMAGE_PIXELS
    if limit is not None and image.width * image.height > limit:
        image.close()
        raise BadSample(
            "image-too-large", f"{_named(picture)}: {image.width} x {image.height}; Pillow's limit is {limit:,} pixels"
        )
    return image


def _pillow() -> Any:
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingDependencyError(
            "training on pictures needs Pillow\n  todo  pip install 'parrot_adapters[train]'"
        ) from error
    return Image


def _named(picture: Picture) -> str:
    return str(picture.stored) if picture.stored else picture.path or f"{len(picture.data or b''):,} bytes"
