"""Decode pictures as hosts are shown them at inference: as transformers' own loader does, in training and evaluation.

Of an animation the first frame is taken, a photo is turned as its EXIF orientation says, and ``convert("RGB")`` drops
alpha. 16-bit grey is scaled to 8 bits, where Pillow would clip it to white; floats and 32-bit numbers are refused:
nobody says which is white. A picture that cannot be decoded is a bad sample; nothing is ever put in its place.
"""

from __future__ import annotations

import io
import os
import re
import stat
import warnings
from typing import TYPE_CHECKING, Any

from parrot_adapters.data.byte_ranges import stored_bytes
from parrot_adapters.data.dialogue import Picture
from parrot_adapters.data.problems import BadSample
from parrot_adapters.errors import MissingDependencyError, first_line

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["as_rgb", "by_number", "picture_size", "read_picture", "shown_size"]

DEEP = ("I;16", "I;16B", "I;16L", "I;16N")
UNSCALED = {"F": "floats", "I": "32-bit numbers"}
ORIENTATION = 0x0112  # of EXIF
ON_THEIR_SIDE = (5, 6, 7, 8)  # orientations that swap height and width


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
        except Exception as error:  # decoders of rare kinds raise whatever they like on damaged bytes
            raise BadSample("broken-image", f"{_named(picture)}: {first_line(error)}") from None


def as_rgb(image: Image) -> Image:
    """An opened picture as hosts are shown it: the rule of training and evaluation alike.

    Raises:
        ValueError: its numbers have no white.
    """
    from PIL import ImageOps

    if image.mode in UNSCALED:
        raise ValueError(
            f"its pixels are {UNSCALED[image.mode]}, and nobody says which is white; save it with 8 or 16 bits"
        )
    turned = ImageOps.exif_transpose(image)
    if turned.mode in DEEP:  # 0..65535
        return turned.point(lambda value: value * (1 / 256), "L").convert("RGB")
    return turned.convert("RGB")


def shown_size(image: Image) -> tuple[int, int]:
    """Height and width of an opened picture as it is shown, from its header alone."""
    # Pillow turns a TIFF itself, its size included; and it decodes a PNG to look behind its pixels.
    asked = image.format != "TIFF" and (image.format != "PNG" or "exif" in image.info)
    swapped = asked and image.getexif().get(ORIENTATION) in ON_THEIR_SIDE
    return (image.width, image.height) if swapped else (image.height, image.width)


def picture_size(picture: Picture) -> tuple[int, int]:
    """Height and width, from the header alone.

    Raises:
        BadSample: as :func:`read_picture`, as far as the header tells.
    """
    with _opened(picture) as image:
        try:
            return shown_size(image)
        except Exception as error:  # as above
            raise BadSample("broken-image", f"{_named(picture)}: {first_line(error)}") from None


def by_number(name: str) -> list[tuple[int, str]]:
    """Sorts names of pictures that belong together: 2.jpg before 10.jpg."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name) if part]


def _opened(picture: Picture) -> Any:
    pillow = _pillow()
    data = picture.data if picture.stored is None else stored_bytes(picture.stored)
    source: Any = picture.path if data is None else io.BytesIO(data)
    if source is None:
        raise BadSample("missing-image", "a picture with neither a path nor bytes")
    if data is None:
        _refuse_devices(picture)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", pillow.DecompressionBombWarning)  # refused below, not warned about
            image = pillow.open(source)
    except (FileNotFoundError, NotADirectoryError):
        raise BadSample("missing-image", _named(picture)) from None
    except pillow.DecompressionBombError as error:
        raise BadSample("image-too-large", f"{_named(picture)}: {first_line(error)}") from None
    except pillow.UnidentifiedImageError:  # it would say the address of a buffer
        raise BadSample("broken-image", f"{_named(picture)}: no kind of picture that Pillow reads") from None
    except Exception as error:  # as above
        raise BadSample("broken-image", f"{_named(picture)}: {first_line(error)}") from None
    limit = pillow.MAX_IMAGE_PIXELS
    if limit is not None and image.width * image.height > limit:
        image.close()
        raise BadSample(
            "image-too-large", f"{_named(picture)}: {image.width} x {image.height}; Pillow's limit is {limit:,} pixels"
        )
    return image


def _refuse_devices(picture: Picture) -> None:
    """Whoever opens a pipe may wait for ever."""
    try:
        mode = os.stat(str(picture.path)).st_mode
    except (OSError, ValueError):  # said when it is opened
        return
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise BadSample("broken-image", f"{_named(picture)} is a pipe or a device, not a file")


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
