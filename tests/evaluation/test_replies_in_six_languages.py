"""Replies of ``replies_in_six_languages.tsv``, read as a careful person reads them: a wrong letter is worse than none.

Written by hand before the matcher was taught what they ask for, from one list of things that models do: list the
options, deny, exclude, turn round, hedge, count, name places and inflect.
"""

from __future__ import annotations

import csv
import time
from pathlib import Path

import pytest
from support.growth import grows_linearly
from support.tiers import late_unless

from parrot_adapters.evaluation import extract_choice

FRUIT = {"A": "apple", "B": "plum", "C": "cherry", "D": "lemon"}


def replies() -> list[tuple[str, dict[str, str], str, str | None]]:
    with Path(__file__).with_name("replies_in_six_languages.tsv").open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        return [
            (
                row["language"],
                dict(zip("ABCD", row["options"].split("|"), strict=False)),
                row["reply"].replace("\\n", "\n"),
                row["choice"] or None,
            )
            for row in rows
        ]


def read(mode: str, language: str, options: dict[str, str], reply: str) -> str | None:
    found = extract_choice(reply, options, mode, language=language)
    return None if found == "Z" else found


def test_nearly_all_are_read_right_and_no_letter_is_wrong() -> None:
    asked = replies()
    assert len(asked) > 350
    found = [(choice, read("robust", language, options, reply)) for language, options, reply, choice in asked]
    assert [pair for pair in found if pair[1] is not None and pair[0] != pair[1]] == []
    assert sum(right == got for right, got in found) >= 0.99 * len(asked)


def test_the_reference_gives_wrong_letters() -> None:
    """The double: were these replies easy, the reference would read them too."""
    found = [
        (choice, read("vlmevalkit-2026", language, options, reply)) for language, options, reply, choice in replies()
    ]
    assert sum(right == got for right, got in found) < 0.7 * len(found)


@pytest.mark.parametrize(
    ("said", "choice"),
    [
        ("A: apple - no\nB: plum - yes\nC: cherry - no", "B"),
        ("A: apple - no\nB: plum - yes\nC: cherry - yes", None),
        ("Is A correct? I cannot say.", None),
        ("B is the right answer.", "B"),
        ("B or C is the right answer.", None),
        ("B, as well as C, is correct.", None),
        ("B is not the right answer.", None),
        ("Ruling out A, B and D.", None),
        ("Ruling out A, B and D, I pick C.", "C"),
        ("At first I thought it was A.", "A"),  # nothing else is said
        ("At first I thought it was A, but it is not.", None),
        ("At first I thought it was A, but it is C.", "C"),
        ("The last option.", "D"),
        ("Not the last option.", None),
        ("It is A. No, wait: B.", "B"),
    ],
)
def test_what_is_taken_back_is_no_answer(said: str, choice: str | None) -> None:
    assert read("robust", "en", FRUIT, said) == choice


def test_a_reply_of_megabytes_is_read_where_it_says_answer() -> None:
    """Its beginning, its end and what stands around "answer": all that a person would look at, in a second."""
    filler = "the picture shows a house and some trees in front of it. " * 5_000
    for said in (f"The answer is C. {filler}", f"{filler} The answer is C.", f"{filler} The answer is C. {filler}"):
        start = time.process_time()
        assert read("robust", "en", FRUIT, said) == "C"
        assert time.process_time() - start < 1 + 3 * len(said) / 1e6
    assert read("robust", "en", FRUIT, filler) is None


PIECES = ["rule out A, B, C ", "not A, ", "A     ", "at first A ", "A, ", "选择", "(", "x"]


@pytest.mark.parametrize("piece", late_unless(["rule out A, B, C ", "at first A ", "选择", "("], PIECES))
@pytest.mark.few(2)
def test_time_grows_with_the_length(piece: str) -> None:
    def read_it(size: int) -> None:
        extract_choice(piece * (size // len(piece)), FRUIT, "robust", language="en")

    assert grows_linearly(read_it, 4_000, 40_000)


def test_growth_with_the_square_would_be_told() -> None:
    assert not grows_linearly(lambda size: sum(range(size * size // 4)), 400, 4_000)
    assert grows_linearly(lambda size: sum(range(size * 400)), 400, 4_000)
