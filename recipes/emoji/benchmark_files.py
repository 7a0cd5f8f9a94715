"""The questions as files in MMMB's format, one a language, the same rows in each.

EMOJI_{language}.tsv               one picture, four names of one category: choice, naming and retrieval read it
EMOJI-COMPARISON_{language}.tsv    two pictures of one category: which of them shows the thing that is named?
"""

from __future__ import annotations

import base64
import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .art import png_bytes
from .concepts import Concept
from .languages import LANGUAGES, Language
from .names import name_of
from .questions import LETTERS, Comparison, Question

__all__ = ["read_tsv", "write_benchmark"]

COLUMNS = ("index", "question", *LETTERS, "answer", "category", "image", "split")
COMPARISON_COLUMNS = ("index", "question", *LETTERS[:2], "answer", "category", "image", "split")


def write_benchmark(
    out: Path,
    concepts: Sequence[Concept],
    questions: Sequence[Question],
    comparisons: Sequence[Comparison],
    pictures: np.ndarray,
    languages: Sequence[Language] = LANGUAGES,
) -> None:
    """Write both kinds of files.

    Args:
        out: directory that exists.
        concepts: all concepts.
        questions: about one picture.
        comparisons: of two pictures.
        pictures: the test art of all concepts, uint8 (concepts, P, P, 3).
        languages: one file of each kind for each.
    """
    shown = {i for q in questions for i in (q.concept,)} | {i for c in comparisons for i in c.shown}
    images = {index: base64.b64encode(png_bytes(pictures[index])).decode() for index in shown}
    for language in languages:
        _write(out / f"EMOJI_{language.code}.tsv", COLUMNS, _choices(concepts, questions, images, language))
        path = out / f"EMOJI-COMPARISON_{language.code}.tsv"
        _write(path, COMPARISON_COLUMNS, _comparisons(concepts, comparisons, images, language))


def read_tsv(path: Path) -> list[dict[str, str]]:
    """Rows of a file that :func:`write_benchmark` wrote."""
    csv.field_size_limit(2**24)  # an image is one field
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def _choices(
    concepts: Sequence[Concept], questions: Sequence[Question], images: dict[int, str], language: Language
) -> list[list[object]]:
    rows: list[list[object]] = []
    for index, question in enumerate(questions):
        concept = concepts[question.concept]
        options = [name_of(concepts[option], language.code) for option in question.options]
        row = [index, language.question, *options, question.letter, concept.category, images[question.concept]]
        rows.append([*row, concept.split])
    return rows


def _comparisons(
    concepts: Sequence[Concept], comparisons: Sequence[Comparison], images: dict[int, str], language: Language
) -> list[list[object]]:
    rows: list[list[object]] = []
    for index, comparison in enumerate(comparisons):
        concept = concepts[comparison.concept]
        asked = language.comparison.format(name_of(concept, language.code))
        both = repr([images[picture] for picture in comparison.shown])
        row = [index, asked, *language.places, comparison.letter, concept.category, both, concept.split]
        rows.append(row)
    return rows


def _write(path: Path, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
