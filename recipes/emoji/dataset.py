"""The emoji data set and a host to train on: `parrot emoji export --out DIR`.

    DIR/EMOJI_en.tsv ... EMOJI_ru.tsv    MMMB's format: one picture, one question, four options, test art
    DIR/llava_stage1.json                LLaVA's format, English: the seen concepts, training art
    DIR/llava_stage2.json                ... in all six languages
    DIR/images/*.png                     ... and their pictures
    DIR/host                             text model, vision tower and a fresh projector, as transformers loads them
    DIR/ATTRIBUTION.txt                  whose pictures and names these are

The six TSV files hold the same questions in the same order, row by row. `split` says whether the concept's training
picture is in the LLaVA files (`seen`) or not (`held-out`).
"""

from __future__ import annotations

import argparse
import base64
import csv
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from .art import TEST_ART, TRAIN_ART, drawn_concepts, load_pictures, png_bytes
from .attribution import attribution_text
from .concepts import Concept, select_concepts
from .errors import RecipeError
from .languages import LANGUAGES
from .presets import PRESETS, preset
from .questions import LETTERS, Question, make_questions

__all__ = ["command", "export", "read_tsv", "write_tsv"]

COLUMNS = ("index", "question", *LETTERS, "answer", "category", "image", "split")
Progress = Callable[[int, int], None]


def export(
    concepts: Sequence[Concept],
    out: Path,
    progress: Progress | None = None,
    *,
    grid: int = 3,
    views: int = 1,
    seed: int = 0,
) -> dict[str, int]:
    """Write the data set of ``concepts``, and a host.

    Args:
        concepts: what is asked and trained.
        out: directory to write into.
        progress: told how many pictures are drawn, of how many.
        grid: the host's visual tokens are grid x grid.
        views: of each training picture.
        seed: of the host's projector and of the views.

    Returns:
        how many questions, training samples and pictures were written.
    """
    from .conversations import write_conversations
    from .host import fresh_host, save_host

    out.mkdir(parents=True, exist_ok=True)
    questions = make_questions(concepts)
    test = load_pictures(concepts, TEST_ART, progress)
    write_tsv(out, concepts, questions, test)
    train = load_pictures(concepts, TRAIN_ART, progress)
    samples, pictures = write_conversations(out, concepts, train, views=views, seed=seed)
    save_host(fresh_host(concepts, train, grid=grid, seed=seed), out / "host")
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


def command(argv: list[str]) -> int:
    """The ``parrot emoji`` command."""
    parser = argparse.ArgumentParser(prog="parrot emoji", description="Build and export the emoji data set.")
    actions = parser.add_subparsers(dest="action", required=True)
    exporting = actions.add_parser("export", help="write MMMB-style TSV, LLaVA-style JSON and a host to train")
    add = exporting.add_argument
    add("--out", type=Path, required=True, help="directory to write into")
    add("--preset", choices=sorted(PRESETS), default="full", help="whose concepts and host (%(default)s: all concepts)")
    add("--views", type=int, default=1, help="of each training picture: as drawn, then inked, moved, recoloured")
    add("--seed", type=int, default=0, help="of the host's projector and the views (%(default)s)")
    actions.add_parser("credits", help="whose pictures and names these are")
    arguments = parser.parse_args(argv)

    from .console import Display

    display = Display()
    if arguments.action == "credits":
        display.console.print(attribution_text(), markup=False, highlight=False)
        return 0
    if arguments.views < 1:
        raise RecipeError(f"--views must be at least 1, not {arguments.views}")
    from .quickstart import one_thread, quiet

    quiet()
    config = preset(arguments.preset)
    concepts = drawn_concepts(select_concepts(config.categories, config.max_words, config.limit))
    with one_thread(), display.bar("drawing") as advance:
        counts = export(concepts, arguments.out, advance, grid=config.grid, views=arguments.views, seed=arguments.seed)
    written = ", ".join(f"{count:,} {what}" for what, count in counts.items())
    display.console.print(
        f"{arguments.out}: {written}; a host to train on in {arguments.out / 'host'}", highlight=False
    )
    display.console.print("Pictures: Twemoji (CC-BY-4.0), OpenMoji (CC-BY-SA-4.0); keep ATTRIBUTION.txt with them.")
    return 0
