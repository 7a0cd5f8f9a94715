"""Replies that were written before the matcher was changed for them: right, or no letter at all."""

from __future__ import annotations

import csv
import time
from pathlib import Path

import pytest

from parrot_adapters.evaluation import extract_choice

REPLIES = Path(__file__).parents[1] / "fixtures" / "unseen_replies" / "replies.tsv"
FRUIT = {"A": "apple", "B": "plum", "C": "cherry", "D": "lemon"}
NUMBERS = {"A": "one", "B": "two", "C": "three", "D": "four"}


def rows() -> list[dict[str, str]]:
    with REPLIES.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


def read(row: dict[str, str], protocol: str) -> str | None:
    options = dict(zip("ABCDE", row["options"].split("|"), strict=False))
    found = extract_choice(row["reply"].replace("\\n", "\n"), options, protocol, language=row["language"])
    return None if found == "Z" else found


@pytest.mark.parametrize(
    ("name", "least"), [("first", 98), ("second", 97), ("third", 60), ("fourth", 41), ("fifth", 293)]
)
def test_each_set(name: str, least: int) -> None:
    asked = [row for row in rows() if row["set"] == name]
    found = [(row["choice"] or None, read(row, "robust")) for row in asked]
    assert [pair for pair in found if pair[1] is not None and pair[0] != pair[1]] == []
    assert sum(right == got for right, got in found) >= least


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


@pytest.mark.parametrize("options", [FRUIT, NUMBERS])
@pytest.mark.parametrize(
    "piece", ["if the plum ", "plum or lemon? ", "2 = ", "but plum ", "only one two ", "might be a "]
)
def test_time_grows_with_the_length(piece: str, options: dict[str, str]) -> None:
    def seconds(size: int) -> float:
        start = time.process_time()
        extract_choice(piece * (size // len(piece)), options, "robust", language="en")
        return time.process_time() - start

    seconds(1000)  # patterns are compiled
    assert seconds(50_000) < 1  # a square of it would be minutes
