"""Replies that were written before the matcher was changed for them: right, or no letter at all."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from support.growth import grows_linearly
from support.tiers import late_unless

from parrot_adapters.evaluation import extract_choice
from parrot_adapters.evaluation.matching.written_in import written_in

REPLIES = Path(__file__).parents[1] / "fixtures" / "unseen_replies" / "replies.tsv"
FRUIT = {"A": "apple", "B": "plum", "C": "cherry", "D": "lemon"}
NUMBERS = {"A": "one", "B": "two", "C": "three", "D": "four"}


def rows() -> list[dict[str, str]]:
    with REPLIES.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


def read(row: dict[str, str], protocol: str, *, told: bool = True) -> str | None:
    options = dict(zip("ABCDE", row["options"].split("|"), strict=False))
    language = row["language"] if told else None
    found = extract_choice(row["reply"].replace("\\n", "\n"), options, protocol, language=language)
    return None if found == "Z" else found


LEAST = {
    "first": 98,
    "second": 98,
    "third": 60,
    "fourth": 41,
    "fifth": 300,
    "sixth": 298,
    "seventh": 285,
    "kinds": 67,
    "after": 59,
}
"""Replies of each set that are read right, now that all of them have been seen."""


@pytest.mark.parametrize("name", LEAST)
def test_each_set(name: str) -> None:
    asked = [row for row in rows() if row["set"] == name]
    found = [(row["choice"] or None, read(row, "robust")) for row in asked]
    assert [pair for pair in found if pair[1] is not None and pair[0] != pair[1]] == []
    assert sum(right == got for right, got in found) >= LEAST[name]


def test_a_set_whose_language_is_not_told() -> None:
    asked = [row for row in rows() if row["set"] == "sixth"]
    found = [(row["choice"] or None, read(row, "robust", told=False)) for row in asked]
    assert sum(got is not None and right != got for right, got in found) <= 1
    assert sum(right == got for right, got in found) >= 295


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("我选第三个选项。", "zh"),
        ("三番目です。", "ja"),
        ("정답은 세 번째입니다.", "ko"),
        ("Правильный ответ: Б.", "ru"),
        ("الإجابة هي الخيار الثاني", "ar"),
        ("پاسخ درست گزینه دوم است", "fa"),
        ("Eu escolheria a primeira opção.", "pt"),
        ("La respuesta correcta es la segunda.", "es"),
        ("Doğru cevap ikinci seçenek.", "tr"),
        ("The second option is correct.", "en"),
        ("B.", None),
        ("42", None),
        ("", None),
    ],
)
def test_the_language_of_a_reply(text: str, language: str | None) -> None:
    assert written_in(text) == language


def test_the_reference_reads_far_fewer() -> None:
    """The double: were these replies easy, it would read them too."""
    found = [(row["choice"] or None, read(row, "vlmevalkit-2026")) for row in rows()]
    assert sum(right == got for right, got in found) < 0.7 * len(found)


@pytest.mark.parametrize(
    ("said", "choice"),
    [
        ("It is a plum, but there is a lemon, too.", None),
        ("Although it looks like a plum.", "B"),  # it is all that is said
        ("Although it looks like a plum, it is a cherry.", "C"),
        ("Could it be a plum? Or a lemon?", None),
        ("A plum or a lemon? A lemon.", "D"),
        ("apple. plum. cherry. lemon.", None),
    ],
)
def test_what_is_granted_or_weighed_is_no_answer(said: str, choice: str | None) -> None:
    found = extract_choice(said, FRUIT, "robust", language="en")
    assert found == choice


@pytest.mark.parametrize(
    ("said", "choice"),
    [
        ("There are four in total: two red and two blue.", "D"),
        ("Only one of the three is red.", None),  # one, or three?
        ("A single bird.", "A"),
        ("Two and two makes four, three in all.", "C"),
    ],
)
def test_what_a_reckoning_comes_to(said: str, choice: str | None) -> None:
    assert extract_choice(said, NUMBERS, "robust", language="en") == choice


@pytest.mark.parametrize("options", late_unless([NUMBERS], [FRUIT, NUMBERS]))
@pytest.mark.parametrize(
    "piece",
    ["if the plum ", "plum or lemon? ", "2 = ", "but plum ", "only one two ", "might be a ", "if it were summer B "],
)
@pytest.mark.few(2)
def test_time_grows_with_the_length(piece: str, options: dict[str, str]) -> None:
    def read_it(size: int) -> None:
        extract_choice(piece * (size // len(piece)), options, "robust", language="en")

    assert grows_linearly(read_it, 4_000, 40_000)
