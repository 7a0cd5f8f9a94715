"""The training pictures as LLaVA conversations: what `parrot train` learns the two stages from.

llava_stage1.json    English, for the projector
llava_stage2.json    all six languages of the text model, for projector and adapter
images/*.png         training art of the seen concepts, one file for each view
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from .art import png_bytes
from .augment import training_views
from .concepts import CONCRETE, Concept
from .languages import ENGLISH, LANGUAGES, Language

__all__ = ["STAGE1", "STAGE2", "write_conversations"]

STAGE1, STAGE2 = "llava_stage1.json", "llava_stage2.json"


def write_conversations(
    out: Path, concepts: Sequence[Concept], pictures: np.ndarray, *, views: int = 1, seed: int = 0
) -> tuple[int, int]:
    """Write both files and the pictures of the seen concepts.

    Args:
        out: directory that exists.
        concepts: all concepts.
        pictures: their training art, uint8 (concepts, P, P, 3).
        views: of each picture; the first is as drawn, others are inked, moved and recoloured.
        seed: of what is random in them.

    Returns:
        how many conversations the second file has, and how many pictures there are.
    """
    (out / "images").mkdir(exist_ok=True)
    seen = [index for index, concept in enumerate(concepts) if concept.split == "seen"]
    shown: list[tuple[Concept, str]] = []
    for index in seen:
        concept = concepts[index]
        stem = re.sub("[^0-9a-f]+", "-", concept.code.lower())
        for view, picture in enumerate(_views(concept, pictures[index], views, seed)):
            name = f"images/{stem}.png" if view == 0 else f"images/{stem}-{view}.png"
            (out / name).write_bytes(png_bytes(picture))
            shown.append((concept, name))
    _write(out / STAGE1, shown, [language for language in LANGUAGES if language.code == ENGLISH])
    _write(out / STAGE2, shown, LANGUAGES)
    return len(shown) * len(LANGUAGES), len(shown)


def _views(concept: Concept, picture: np.ndarray, count: int, seed: int) -> list[np.ndarray]:
    """uint8 (P, P, 3) each; they depend on the seed and the concept alone."""
    if count == 1:
        return [picture]
    generator = torch.Generator().manual_seed((seed << 32) + int(concept.code.split("-")[0], 16))
    drawn = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255  # (1, 3, P, P)
    made = training_views(drawn, count, generator, torch.tensor([concept.category in CONCRETE]))
    return [(view[0].permute(1, 2, 0) * 255).round().byte().numpy() for view in made]


def _write(path: Path, shown: Sequence[tuple[Concept, str]], languages: Sequence[Language]) -> None:
    conversations = [
        {
            "id": f"{Path(image).stem}-{language.code}",
            "image": image,
            "language": language.code,
            "conversations": [
                {"from": "human", "value": f"<image>\n{language.question}"},
                {"from": "gpt", "value": concept.names[language.code]},
            ],
        }
        for concept, image in shown
        for language in languages
    ]
    path.write_text(json.dumps(conversations, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
