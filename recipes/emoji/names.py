"""Names of concepts in every language of the benchmark.

The package `emoji` has fourteen languages. Hindi, Bengali, Thai and Swahili come from a table in `assets`, made from
the annotations of Unicode CLDR 47 (Unicode-3.0, `assets/CLDR_LICENSE.txt`): the short name ("tts") of each concept.
Remake it from a copy of github.com/unicode-org/cldr-json:

    python -m parrot_recipes.emoji.names PATH/TO/cldr-json
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from .concepts import Concept, load_concepts, plain_name
from .errors import require
from .languages import CODES

__all__ = ["FROM_CLDR", "name_of", "names_in"]

FROM_CLDR = ("hi", "bn", "th", "sw")
TABLE = Path(__file__).parent / "assets" / "cldr_names.tsv"
FOLDERS = ("cldr-annotations-derived-full/annotationsDerived", "cldr-annotations-full/annotations")


def name_of(concept: Concept, language: str) -> str:
    """What a concept is called in a language."""
    return concept.names[language] if language in CODES else names_in(language)[concept.code]


@cache
def names_in(language: str) -> Mapping[str, str]:
    """Every concept's name by its code.

    Args:
        language: one of the twelve that concepts do not carry themselves.
    """
    if language in FROM_CLDR:
        with TABLE.open(encoding="utf-8", newline="") as file:
            return {row["code"]: row[language] for row in csv.DictReader(file, delimiter="\t")}
    emoji = require("emoji", "names in fourteen languages")
    emoji.config.load_language(language)
    return {c.code: plain_name(emoji.EMOJI_DATA[c.emoji][language], language) for c in load_concepts()}


def make_table(cldr: Path, table: Path = TABLE) -> None:
    """Write the committed table from a copy of cldr-json."""
    names = {language: _annotations(cldr / "cldr-json", language) for language in FROM_CLDR}
    with table.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerow(["code", *FROM_CLDR])
        for concept in load_concepts():
            bare = concept.emoji.replace("\ufe0f", "")  # CLDR leaves the variation selector out
            writer.writerow([concept.code, *(names[language][bare] for language in FROM_CLDR)])


def _annotations(packages: Path, language: str) -> dict[str, str]:
    found = {}
    for folder in FOLDERS:
        content = json.loads((packages / folder / language / "annotations.json").read_text(encoding="utf-8"))
        entries = content[folder.split("/")[1]]["annotations"]
        found |= {sign: entry["tts"][0] for sign, entry in entries.items() if "tts" in entry}
    return found


if __name__ == "__main__":
    make_table(Path(sys.argv[1]))
