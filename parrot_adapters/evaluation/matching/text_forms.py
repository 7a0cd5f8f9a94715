"""Forms of one text in which two spellings of it are equal: Unicode, casing, diacritics, look-alikes.

``clean`` keeps what a reader sees (case included); ``light`` and ``fold`` are for comparison, ``fold`` the bolder.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

from parrot_adapters.evaluation.matching.chinese_signs import SIMPLIFIED

__all__ = ["LATIN", "Token", "any_of", "any_phrase", "clean", "fold", "joined", "light", "lowered", "script", "tokens"]

# Arabic vowel signs and Quranic marks, Hebrew points, variation selectors: drawn over letters, often left out.
OPTIONAL_MARKS = re.compile("[\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06ed\u0591-\u05c7\ufe00-\ufe0f]")
ONE_OF_MANY = str.maketrans(
    # quotes and dashes
    {**dict.fromkeys("’‘ʼ`´′", "'"), **dict.fromkeys("“”„«»″", '"'), **dict.fromkeys("–—−‐‑―", "-")}
    # hamza seats, final forms, Persian letters, the elongation stroke
    | {**dict.fromkeys("أإآٱ", "ا"), **dict.fromkeys("ىئی", "ي"), "ؤ": "و", "ة": "ه", "ک": "ك", "ء": None, "ـ": None}
    | {"ё": "е", "Ё": "Е"}
    | SIMPLIFIED
)
SPELLINGS = {
    "gray": "grey",
    "color": "colour",
    "center": "centre",
    "theater": "theatre",
    "airplane": "aeroplane",
    "tire": "tyre",
    "pajamas": "pyjamas",
    "mustache": "moustache",
    "donut": "doughnut",
    "yogurt": "yoghurt",
    "plow": "plough",
    "curb": "kerb",
    "mom": "mother",
    "mama": "mother",
    "dad": "father",
    "grandma": "grandmother",
    "grandpa": "grandfather",
    "kid": "child",
    "kids": "children",
    "ok": "okay",
    "tv": "television",
    "fridge": "refrigerator",
    "phone": "telephone",
    "bike": "bicycle",
    "plane": "aeroplane",
    "colored": "coloured",
    "colors": "colours",
}
"""Words of American English and short ones, with how they are compared."""
RESPELLED = re.compile(rf"(?<![^\W_])(?:{'|'.join(SPELLINGS)})(?![^\W_])")
UNSPACED = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR", "BOPOMOFO")
STRIPPED = ("LATIN", "GREEK")
"""Scripts whose accents are often left out; in others a mark makes another letter (й is not и)."""


@lru_cache(maxsize=4096)
def clean(text: str) -> str:
    """What a reader sees, in one spelling: NFKC, no invisible or optional marks, one quote, one dash, ASCII digits."""
    text = unicodedata.normalize("NFKC", text.translate(ONE_OF_MANY)).translate(ONE_OF_MANY)
    text = OPTIONAL_MARKS.sub("", text)
    return "".join(_digit(c) for c in text if unicodedata.category(c) != "Cf")


@lru_cache(maxsize=4096)
def light(text: str, language: str | None) -> str:
    """NFC, invisible marks gone, lower case by the language's own rules, single spaces."""
    text = unicodedata.normalize("NFC", text)
    text = "".join(c for c in text if unicodedata.category(c) != "Cf")
    if language in ("tr", "az"):
        text = text.replace("İ", "i").replace("I", "ı")
    return " ".join(unicodedata.normalize("NFC", text.lower()).split())


@lru_cache(maxsize=4096)
def fold(text: str) -> str:
    """``clean``, case-folded, with every i alike and accents of Latin and Greek letters dropped, single spaces."""
    kept, base = [], ""
    for c in unicodedata.normalize("NFD", clean(text).casefold()):
        if not unicodedata.combining(c):
            base = script(c)
        elif base in STRIPPED:
            continue
        kept.append("i" if c == "ı" else c)
    folded = " ".join(unicodedata.normalize("NFC", "".join(kept)).split())
    return RESPELLED.sub(lambda found: SPELLINGS[found[0]], folded)


@lru_cache(maxsize=4096)
def script(char: str) -> str:
    """``LATIN``, ``CJK``, ...: the first word of the character's Unicode name."""
    return unicodedata.name(char, "").partition(" ")[0]


def joined(left: str, right: str) -> bool:
    """True when two neighbouring characters belong to one word, so that there is no word boundary between them."""
    return all(_in_word(c) for c in left + right) and not any(script(c).startswith(UNSPACED) for c in left + right)


def any_of(phrases: Iterable[str], prefixes: Iterable[str] = ()) -> str:
    """A pattern of any of some phrases in folded text, as whole words where their script writes spaces.

    Args:
        phrases: what is looked for.
        prefixes: what may be glued before them.
    """
    glued = "|".join(re.escape(fold(prefix)) for prefix in prefixes)
    opens = rf"(?<!\w)(?:{glued})?" if glued else r"(?<!\w)"
    listed = sorted({fold(phrase) for phrase in phrases} - {""}, key=len, reverse=True)
    parts = [_phrase(w) if script(w[0]).startswith(UNSPACED) else rf"{opens}{_phrase(w)}(?!\w)" for w in listed]
    return f"(?:{'|'.join(parts)})" if parts else "(?!)"


def _phrase(words: str) -> str:
    """A phrase as a pattern; "…" in it stands for up to four signs: "两…都"."""
    return r"\w{0,4}?".join(map(re.escape, words.split("...")))


LATIN = "A-Za-zÀ-ÖØ-öø-ɏ"
ALONE = re.compile(rf"(?<![{LATIN}])[A-Z](?![{LATIN}])|(?<![^\W_])[А-Я](?![^\W_])")


def lowered(text: str) -> str:
    """Lower case, but for letters that stand alone, each in its place: patterns that ignore case are slow."""
    lower = text.replace("İ", "i").lower()
    kept = {found.start(): found[0] for found in ALONE.finditer(text)}
    return "".join(kept.get(i, c) for i, c in enumerate(lower)) if kept else lower


def any_phrase(phrases: Iterable[str], ending: str = "", prefixes: Sequence[str] = ()) -> str:
    """Any of some phrases, as whole words where their script writes spaces; the longest first."""
    spaced: list[str] = []
    unspaced: list[str] = []
    for phrase in sorted({lowered(clean(phrase).strip()) for phrase in phrases} - {""}, key=len, reverse=True):
        words = r"\s+".join(map(re.escape, phrase.split()))
        # Korean glues particles to the word before them, so what opens with one opens no word.
        glued = script(phrase[0]).startswith((*UNSPACED, "HANGUL"))
        (unspaced if glued else spaced).append(words)
    parts = [*unspaced]
    if spaced:
        glued_before = f"(?:{'|'.join(prefixes)})?" if prefixes else ""
        parts.append(rf"(?<![^\W_]){glued_before}(?:{'|'.join(spaced)}){ending}(?![^\W_])")
    return f"(?:{'|'.join(parts)})" if parts else r"(?!)"


RUNS = re.compile(r"([A-Za-z0-9]+)|\S")
"""Letters and digits of ASCII at once, since most replies are made of them; every other sign by itself."""


class Token(NamedTuple):
    """A run of one script's letters and digits, or one sign that is neither."""

    text: str
    start: int
    end: int
    is_word: bool


def tokens(text: str) -> list[Token]:
    """Split cleaned text into words and signs; a change of script ends a word, so "选B" has two."""
    found: list[Token] = []
    kind, start, end = "", 0, 0  # of the word that is being read; no kind between words
    for run in RUNS.finditer(text):
        char, place = run[0][0], run.start()
        own = "LATIN" if run.lastindex else _kind(char)
        goes_on = kind and place == end and (own == kind or (own and unicodedata.category(char).startswith("M")))
        if kind and not goes_on:
            found.append(Token(text[start:end], start, end, True))
            kind = ""
        if not own:
            found.append(Token(char, place, place + 1, False))
            continue
        if not goes_on:
            kind, start = own, place
        end = run.end()
    if kind:
        found.append(Token(text[start:end], start, end, True))
    return found


@lru_cache(maxsize=4096)
def _kind(char: str) -> str:
    """The script of a letter or mark, that of digits; nothing for other signs."""
    return ("LATIN" if char.isdecimal() else script(char) or "NONE") if _in_word(char) else ""


def _in_word(char: str) -> bool:
    return char.isalnum() or unicodedata.category(char).startswith("M")


def _digit(char: str) -> str:
    return str(unicodedata.decimal(char)) if char.isdecimal() else char
