"""Random dialogues, and pictures for them."""

from __future__ import annotations

import functools
import io
from typing import Any

from hypothesis import strategies as st
from PIL import Image

from parrot_adapters.data import Dialogue, Picture, Turn

# Six scripts, an emoji of several code points, and what merges across the border of prompt and answer.
WORDS = (
    "a cat",
    "köpek",
    "İğne",
    "قطة",
    "那是什么",
    "собака",
    "👩‍👩‍👧 👍🏽",
    "y",
    ":)",
    "e s",
    "u\nu",
    "\n\nab",
    " x ",
    "?",
    "user: no",
)


@functools.cache
def picture(width: int, height: int, shade: int = 128) -> Picture:
    """A PNG of one colour."""
    held = io.BytesIO()
    Image.new("RGB", (width, height), (shade, 255 - shade, 40)).save(held, "PNG")
    return Picture(data=held.getvalue())


pictures = st.builds(
    picture, st.sampled_from([8, 16, 40]), st.sampled_from([8, 16, 40]), st.sampled_from([0, 128, 255])
)
texts = st.lists(st.sampled_from(WORDS), min_size=1, max_size=3).map("".join).filter(str.strip)


@st.composite
def dialogues(draw: Any, *, pictured: bool = True, min_pictures: int = 0, answers: int = 3) -> Dialogue:
    """A valid dialogue: perhaps a system prompt, one to three questions with pictures anywhere in them.

    Args:
        draw: of hypothesis.
        pictured: whether there may be pictures.
        min_pictures: in the first question.
        answers: most of them.
    """
    turns = [Turn("system", (draw(texts).strip(),))] if draw(st.booleans()) else []
    for number in range(draw(st.integers(1, answers))):
        parts: list[Any] = [draw(texts)]
        least = min_pictures if number == 0 else 0
        for shown in draw(st.lists(pictures, min_size=least, max_size=2)) if pictured else []:
            parts.insert(draw(st.integers(0, len(parts))), shown)
        turns += [Turn("user", tuple(parts)), Turn("assistant", (draw(texts).strip(),))]
    return Dialogue("d", "file.json", draw(st.sampled_from([None, "tr"])), tuple(turns))


def messages(turns: Any) -> list[dict[str, Any]]:
    """The turns as transformers takes them, pictures decoded."""

    def part(given: Any) -> dict[str, Any]:
        if isinstance(given, str):
            return {"type": "text", "text": given}
        return {"type": "image", "image": Image.open(io.BytesIO(given.data)).convert("RGB")}

    return [{"role": turn.role, "content": [part(given) for given in turn.parts]} for turn in turns]
