"""The emoji data set by itself: `parrot emoji export --out DIR`.

    DIR/EMOJI_en.tsv ... EMOJI_ru.tsv    MMMB's format: one picture, one question, four options, test art
    DIR/llava_train.json                 LLaVA's format: every seen concept in every language, training art
    DIR/images/*.png                     ... and its pictures
    DIR/ATTRIBUTION.txt                  whose pictures and names these are

The six TSV files hold the same questions in the same order, row by row. `split` says whether the concept's training
picture is in llava_train.json (`seen`) or not (`held-out`).
"""

from __future__ import annotations

import argparse
import base64
import csv
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from .art import TEST_ART, TRAIN_ART, drawn_concepts, load_pictures, png_bytes
from .attribution import attribution_text
from .concepts import Concept, select_concepts
from .languages import LANGUAGES
from .presets import PRESETS, preset
from .questions import LETTERS, Question, make_questions

__all__ = ["command", "export", "read_tsv", "write_llava", "write_tsv"]

COLUMNS = ("index", "question", *LETTERS, "answer", "category", "image", "split")
Progress = Callable[[int, int], None]


def export(concepts: Sequence[Concept], out: Path, progress: Progress | None = None) -> dict[str, int]:
    """Write the data set of ``concepts``.

    Returns:
        how many questions, training samples and pictures were written.
    """
    out.mkdir(parents=True, exist_ok=True)
    questions = make_questions(concepts)
    test = load_pictures(concepts, TEST_ART, progress)
    write_tsv(out, concepts, questions, test)
    samples, pictures = write_llava(out, concepts, load_pictures(concepts, TRAIN_ART, progress))
    (out / "ATTRIBUTION.txt").write_text(attribution_text(), encoding="utf-8")
    return {"questions": len(questions) * len(LANGUAGES), "training samples": samples, "training pictures": pictures}


def write_tsv(out: Path, concepts: Sequence[Concept], questions: Sequence[Question], pictures: np.ndarray) -> None:
    """EMOJI_{language}.tsv: the same rows in every language."""
    images = {q.concept: base64.b64encode(png_bytes(pictures[q.concept])).decode() for q in questions}
    for language in LANGUAGES:
        with (out / f"EMOJI_{language.code}.tsv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, delimiter="\t", lineterminator="\n")
            writer.writerow(COLUMNS)
            for index, question in enumerate(questions):
                concept = concepts[question.concept]
                options = [concepts[option].names[language.code] for option in question.options]
                writer.writerow(
                    [
                        index,
                        language.question,
                        *options,
                        question.letter,
                        concept.category,
                        images[question.concept],
                        concept.split,
                    ]
                )


def read_tsv(path: Path) -> list[dict[str, str]]:
    """Rows of a file that :func:`write_tsv` wrote."""
    csv.field_size_limit(2**24)  # an image is one field
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def write_llava(out: Path, concepts: Sequence[Concept], pictures: np.ndarray) -> tuple[int, int]:
    """llava_train.json and its pictures: the seen concepts, one conversation for each language.

    Returns:
        how many conversations, and how many pictures.
    """
    (out / "images").mkdir(exist_ok=True)
    conversations, count = [], 0
    for index, concept in enumerate(concepts):
        if concept.split != "seen":
            continue
        name = f"images/{re.sub('[^0-9a-f]+', '-', concept.code.lower())}.png"
        (out / name).write_bytes(png_bytes(pictures[index]))
        count += 1
        conversations += [
            {
                "id": f"{concept.code}-{language.code}",
                "image": name,
                "language": language.code,
                "conversations": [
                    {"from": "human", "value": f"<image>\n{language.question}"},
                    {"from": "gpt", "value": concept.names[language.code]},
                ],
            }
            for language in LANGUAGES
        ]
    text = json.dumps(conversations, ensure_ascii=False, indent=1)
    (out / "llava_train.json").write_text(text + "\n", encoding="utf-8")
    return len(conversations), count


def command(argv: list[str]) -> int:
    """The ``parrot emoji`` command."""
    parser = argparse.ArgumentParser(prog="parrot emoji", description="Build and export the emoji data set.")
    actions = parser.add_subparsers(dest="action", required=True)
    exporting = actions.add_parser("export", help="write MMMB-style TSV and LLaVA-style JSON files")
    exporting.add_argument("--out", type=Path, required=True, help="directory to write into")
    exporting.add_argument(
        "--preset", choices=sorted(PRESETS), default="full", help="whose concepts (%(default)s: all of them)"
    )
    actions.add_parser("credits", help="whose pictures and names these are")
    arguments = parser.parse_args(argv)

    from .console import Display

    display = Display()
    if arguments.action == "credits":
        display.console.print(attribution_text(), markup=False, highlight=False)
        return 0
    config = preset(arguments.preset)
    concepts = drawn_concepts(select_concepts(config.categories, config.max_words, config.limit))
    with display.bar("drawing") as advance:
        counts = export(concepts, arguments.out, advance)
    written = ", ".join(f"{count:,} {what}" for what, count in counts.items())
    display.console.print(f"{arguments.out}: {written}", highlight=False)
    display.console.print("Pictures: Twemoji (CC-BY-4.0), OpenMoji (CC-BY-SA-4.0); keep ATTRIBUTION.txt with them.")
    return 0
