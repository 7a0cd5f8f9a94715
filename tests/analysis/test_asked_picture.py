"""Pictures that commands are given are read by the rule of training and evaluation."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from parrot_adapters.analysis.asked_picture import asked_picture
from parrot_adapters.errors import ConfigError


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """8 wide and 4 high, red above blue, said to have been taken with the camera turned by a quarter."""
    image = Image.new("RGB", (8, 4), "red")
    image.paste("blue", (0, 2, 8, 4))
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(tmp_path / "photo.png", exif=exif)
    return tmp_path / "photo.png"


def test_a_turned_photo_is_shown_upright(photo: Path):
    seen = asked_picture(photo)
    assert (seen.mode, seen.size) == ("RGB", (4, 8))
    assert seen.getpixel((3, 0)) == (255, 0, 0)
    assert seen.getpixel((0, 0)) == (0, 0, 255)


def test_it_is_what_training_sees(photo: Path):
    from parrot_adapters.data.decode_pictures import read_picture
    from parrot_adapters.data.dialogue import Picture

    assert np.array_equal(np.asarray(asked_picture(photo)), np.asarray(read_picture(Picture(path=str(photo)))))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: None, "missing|picture.png"),
        (lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\nno more"), "picture.png"),
        (lambda path: path.mkdir(), "picture.png"),
        (os.mkfifo, "pipe or a device"),
        (lambda path: Image.new("1", (20_000, 10_000)).save(path), "pixels"),
    ],
    ids=["missing", "damaged", "a directory", "a pipe", "too large"],
)
def test_what_cannot_be_read_is_one_error(tmp_path: Path, make, said):
    make(tmp_path / "picture.png")
    with pytest.raises(ConfigError, match=said) as caught:
        asked_picture(tmp_path / "picture.png")
    assert str(caught.value).startswith("the picture cannot be read.")
    assert " object at 0x" not in str(caught.value)
