"""What a reply rejects is no answer; numbers, places and turned words are read."""

from __future__ import annotations

import time

import pytest

from parrot_adapters.evaluation import extract_choice
from parrot_adapters.evaluation.matching.denials import without_denied

FRUIT = {
    "en": {"A": "pear", "B": "plum", "C": "cherry", "D": "lemon"},
    "pt": {"A": "pera", "B": "ameixa", "C": "cereja", "D": "limão"},
    "tr": {"A": "armut", "B": "erik", "C": "kiraz", "D": "limon"},
    "ru": {"A": "груша", "B": "слива", "C": "вишня", "D": "лимон"},
    "zh": {"A": "梨", "B": "李子", "C": "樱桃", "D": "柠檬"},
    "ja": {"A": "梨", "B": "すもも", "C": "さくらんぼ", "D": "レモン"},
    "ko": {"A": "배", "B": "자두", "C": "체리", "D": "레몬"},
}


@pytest.mark.parametrize(
    ("language", "said", "choice"),
    [
        ("en", "Not a pear but a lemon.", "D"),
        ("en", "A, B and D are wrong, so C.", "C"),
        ("en", "Neither plum nor cherry; it is a pear.", "A"),
        ("en", "D is incorrect.", None),
        ("en", "The answer is not B, it is A", "A"),
        ("en", "B", "B"),
        ("tr", "Cevap A değil, B", "B"),
        ("tr", "Doğru cevap D değildir.", None),
        ("ru", "Это не слива, а лимон.", "D"),
        ("zh", "正确答案不是A，而是B。", "B"),
        ("zh", "答案并非C", None),
        ("ja", "正解はCではなくDです", "D"),
        ("ja", "正解はAです", "A"),
        ("ko", "정답은 A가 아니라 C입니다", "C"),
        ("pt", "Não é pera, é limão.", "D"),
    ],
)
def test_what_is_rejected_is_no_answer(language: str, said: str, choice: str | None) -> None:
    assert extract_choice(said, FRUIT[language], "robust", language=language) == choice


def test_only_what_is_rejected_is_blanked() -> None:
    said = "Not A, but B."
    assert without_denied(said, FRUIT["en"], "en") == " " * 5 + ", but B."
    assert without_denied("I would not say so. A", FRUIT["en"], "en") == "I would not say so. A"


def test_an_option_that_says_no_is_an_option() -> None:
    options = {"A": "it is not raining", "B": "it is raining"}
    assert extract_choice("It is not raining.", options, "robust", language="en") == "A"
    assert extract_choice("not B", {"A": "not B", "B": "yes"}, "robust", language="en") == "A"


@pytest.mark.parametrize(
    ("language", "said", "options", "choice"),
    [
        ("en", "I count 5.", {"A": "four", "B": "five", "C": "six"}, "B"),
        ("en", "seven", {"A": "6", "B": "7", "C": "70"}, "B"),
        ("en", "3 or 4", {"A": "three", "B": "four"}, None),
        ("tr", "Cevap: 6", {"A": "üç", "B": "altı"}, "B"),
        ("zh", "有3个", {"A": "两个", "B": "三个"}, "B"),
        ("en", "1.50", {"A": "one", "B": "two"}, None),
        ("en", "One of them is red", {"A": "one", "B": "two"}, "A"),
    ],
)
def test_numbers_in_words_and_digits(language: str, said: str, options: dict[str, str], choice: str | None) -> None:
    assert extract_choice(said, options, "robust", language=language) == choice


@pytest.mark.parametrize(
    ("language", "said", "choice"),
    [
        ("en", "It is the second option.", "B"), ("zh", "第二个选项", "B"), ("tr", "İkinci seçenek", "B"),
        ("ru", "Второй вариант", "B"), ("en", "The second or the third option", None), ("en", "the tenth option", None),
    ],
)  # fmt: skip
def test_options_by_their_place(language: str, said: str, choice: str | None) -> None:
    assert extract_choice(said, FRUIT[language], "robust", language=language) == choice


@pytest.mark.parametrize(
    ("language", "said", "choice"),
    [("ru", "Я вижу грушу.", "A"), ("ru", "Вижу грушу и сливу.", None), ("pt", "A casa tem duas peras.", "A")],
)
def test_turned_words(language: str, said: str, choice: str | None) -> None:
    assert extract_choice(said, FRUIT[language], "robust", language=language) == choice


def test_a_sign_of_two_alphabets_is_told_by_what_follows() -> None:
    assert extract_choice("В) вишня", FRUIT["ru"], "robust", language="ru") == "C"
    assert extract_choice("В) слива", FRUIT["ru"], "robust", language="ru") == "B"


def test_what_comes_after_therefore_is_meant() -> None:
    listed = "A. pear - no.\nB. plum - no.\nC. cherry - maybe.\nD. lemon - no.\nTherefore, C."
    assert extract_choice(listed, FRUIT["en"], "robust", language="en") == "C"


def test_time_grows_with_the_reply() -> None:
    seconds = []
    for size in (20_000, 80_000):
        start = time.process_time()
        without_denied("not a the is " * size, FRUIT["en"], "en")
        seconds.append(time.process_time() - start)
    assert seconds[1] < 12 * seconds[0] + 0.5


def test_short_words_take_short_endings_and_signs_may_be_left_out() -> None:
    assert extract_choice("Sütü görüyorum.", {"A": "çay", "B": "süt"}, "robust", language="tr") == "B"
    assert extract_choice("Sütlaçtan yedim.", {"A": "çay", "B": "süt"}, "robust", language="tr") is None
    assert extract_choice("白", {"A": "白色", "B": "黑色"}, "robust", language="zh") == "A"
    assert extract_choice("白", {"A": "白色", "B": "白天"}, "robust", language="zh") is None
