"""Pictures of every kind come out as the evaluation shows them, or are refused; none is ever made up."""

from __future__ import annotations

import io
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from parrot_adapters.data import BadSample, Picture
from parrot_adapters.data.decode_pictures import picture_size, read_picture


def encoded(image: Image.Image, kind: str = "PNG", **more: Any) -> bytes:
    held = io.BytesIO()
    image.save(held, kind, **more)
    return held.getvalue()


def gradient(mode: str = "RGB", size: tuple[int, int] = (24, 16)) -> Image.Image:
    pixels = np.arange(size[0] * size[1] * 3, dtype=np.uint8).reshape(size[1], size[0], 3)
    return Image.fromarray(pixels).convert(mode)


def palette() -> bytes:
    image = gradient("P")
    return encoded(image, "PNG", transparency=3)


def animated(kind: str) -> bytes:
    frames = [gradient(), gradient().transpose(Image.Transpose.ROTATE_180)]
    return encoded(frames[0], kind, save_all=True, append_images=frames[1:])


def rotated(orientation: int = 6, kind: str = "JPEG") -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(gradient(), kind, exif=exif)


KINDS: dict[str, Callable[[], bytes]] = {
    "rgb": lambda: encoded(gradient()),
    "palette with transparency": palette,
    "alpha": lambda: encoded(gradient("RGBA")),
    "grey and alpha": lambda: encoded(gradient("LA")),
    "cmyk": lambda: encoded(gradient("CMYK"), "JPEG"),
    "black and white": lambda: encoded(gradient("1")),
    "grey": lambda: encoded(gradient("L")),
    "animated gif": lambda: animated("GIF"),
    "animated webp": lambda: animated("WEBP"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_plain_conversion_and_nothing_else(kind: str, tmp_path: Path) -> None:
    data = KINDS[kind]()
    (tmp_path / "p").write_bytes(data)
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    for picture in (Picture(data=data), Picture(path=str(tmp_path / "p"))):
        image = read_picture(picture)
        assert image.mode == "RGB"
        assert np.array_equal(np.asarray(image), expected)
        assert picture_size(picture) == (16, 24)


@pytest.mark.parametrize("kind", [*KINDS, "sixteen bits", "exif says rotated"])
def test_the_evaluation_shows_the_same(kind: str) -> None:
    from support.chat_processors import llava

    from parrot_adapters.data import Collator, Dialogue, Turn
    from parrot_adapters.evaluation.answers.transformers_host import EvaluationHost

    class Asked:
        subset, index, prompt, language = "s", 1, "what?", "en"

        def pictures(self) -> list[bytes]:
            return [data]

    class Model:
        def eval(self) -> Model:
            return self

    deep = Image.fromarray(np.arange(0, 65535, 171, np.uint16)[:384].reshape(16, 24))
    data = {**KINDS, "exif says rotated": rotated, "sixteen bits": lambda: encoded(deep)}[kind]()
    turns = (Turn("user", (Picture(data=data), "what?")), Turn("assistant", ("x",)))
    trained = Collator(llava())([Dialogue("d", "f", None, turns)])["pixel_values"]
    evaluated = EvaluationHost(Model(), llava()).encode([Asked()]).tensors["pixel_values"]  # type: ignore[list-item]
    assert trained.equal(evaluated)
    assert trained.std() > 0.1, "something is to be seen"


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_a_photo_is_turned_as_transformers_turns_it(orientation: int, kind: str, tmp_path: Path) -> None:
    from transformers.image_utils import load_image

    (tmp_path / "p").write_bytes(rotated(orientation, kind))
    picture = Picture(path=str(tmp_path / "p"))
    shown = np.asarray(load_image(str(tmp_path / "p")))
    assert np.array_equal(np.asarray(read_picture(picture)), shown)
    assert picture_size(picture) == shown.shape[:2] == ((16, 24) if orientation < 5 else (24, 16))


@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_numbers_without_a_white_are_refused(dtype: type) -> None:
    ramp = np.linspace(0, 60000, 24 * 16).reshape(16, 24).astype(dtype)
    with pytest.raises(BadSample, match="nobody says which is white") as caught:
        read_picture(Picture(data=encoded(Image.fromarray(ramp), "TIFF")))
    assert caught.value.kind == "broken-image"


@pytest.mark.parametrize("kind", ["AVIF", "DDS", "SPIDER", "PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "ICO"])
def test_damage_is_a_bad_sample_whatever_pillow_raises(kind: str) -> None:
    whole = encoded(gradient("F" if kind == "SPIDER" else "RGB"), kind)
    drawn, problems = random.Random(0), set()
    for _ in range(60):
        data = bytearray(whole)
        for place in [drawn.randrange(len(data)) for _ in range(3)]:
            data[place : place + 4] = drawn.randbytes(4)
        for read in (read_picture, picture_size):
            try:
                read(Picture(data=bytes(data)))
            except BadSample as problem:
                problems.add(problem.kind)
    assert "broken-image" in problems


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes with names")
def test_a_pipe_is_refused_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "p.png")
    for read in (read_picture, picture_size):
        with pytest.raises(BadSample, match="a pipe or a device"):
            read(Picture(path=str(tmp_path / "p.png")))


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_become_eight(kind: str) -> None:
    deep = np.linspace(0, 65535, 24 * 16).astype(np.uint16).reshape(16, 24)
    image = np.asarray(read_picture(Picture(data=encoded(Image.fromarray(deep), kind))))
    assert np.abs(image[..., 0].astype(int) - deep // 256).max() <= 1
    assert (image[..., 0] == image[..., 2]).all()


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"", "missing-image"),
        (b"not a picture", "broken-image"),
        (encoded(gradient())[:100], "broken-image"),
        (encoded(gradient(size=(200, 200)), "JPEG")[:700], "broken-image"),
        (encoded(gradient())[:40] + b"\0" * 400, "broken-image"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "broken-image"),
    ],
)
def test_what_is_broken_is_refused(data: bytes, kind: str, tmp_path: Path) -> None:
    (tmp_path / "p.png").write_bytes(data)
    for picture in (Picture(data=data or None), Picture(path=str(tmp_path / "p.png"))):
        with pytest.raises(BadSample) as caught:
            read_picture(picture)
        assert caught.value.kind == (kind if picture.path is None or data else "broken-image")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "no.png", tmp_path / "no" / "no.png"):
        with pytest.raises(BadSample, match=r"missing-image.*no\.png"):
            read_picture(Picture(path=str(path)))
    with pytest.raises(BadSample, match="broken-image"):
        read_picture(Picture(path=str(tmp_path)))


@pytest.mark.parametrize("side", [1200, 2000])  # just over the limit, and over twice the limit
def test_a_bomb_is_refused_before_it_is_decoded(side: int, monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded(Image.new("1", (side, side)))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1_000_000)
    for read in (read_picture, picture_size):
        with pytest.raises(BadSample, match="image-too-large"):
            read(Picture(data=data))


def test_sixteen_bits_become_their_upper_eight(tmp_path: Path) -> None:
    deep = np.array([[0, 255, 256, 511, 32767, 65279, 65280, 65535]], np.uint16)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    shown = np.asarray(read_picture(Picture(str(tmp_path / "deep.png"))))
    assert shown[0, :, 0].tolist() == [0, 0, 1, 1, 127, 254, 255, 255]
