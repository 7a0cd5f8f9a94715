"""A picture that a command was given, read as training and evaluation read theirs."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from parrot_adapters.data.decode_pictures import read_picture
from parrot_adapters.data.dialogue import Picture
from parrot_adapters.data.problems import BadSample
from parrot_adapters.errors import ConfigError, explain
from parrot_adapters.examples import example_path

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["asked_picture"]


def asked_picture(path: str | os.PathLike[str]) -> Image:
    """The decoded picture, RGB, turned as its EXIF says.

    Args:
        path: of its file, or ``example:NAME/FILE``.

    Raises:
        ConfigError: there is none, it is a pipe or a device, too large to decode safely, or damaged.
        MissingDependencyError: Pillow is not installed.
    """
    path = example_path(path) or path
    try:
        return read_picture(Picture(path=os.fspath(path)))
    except BadSample as error:
        raise ConfigError(explain("the picture cannot be read.", file=path, because=error.reason)) from None
