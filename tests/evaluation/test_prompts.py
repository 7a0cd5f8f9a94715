"""Prompt cases that the vectors do not have: Chinese, no options, bad names."""

from __future__ import annotations

import math

import pytest

from parrot_adapters.errors import ConfigError
from parrot_adapters.evaluation import EvaluationDataError, build_prompt

HAN = {"question": "这是什么？", "A": "猫", "B": "狗"}
PLAIN = {"question": "What is it?", "A": "cat", "B": "dog"}


def prompt(row: dict, style: str, language: str = "en", **how: bool) -> str:
    return build_prompt(row, benchmark="mmmb", style=style, language=language, **how)


@pytest.mark.parametrize("language", ["zh", "cn", "CN"])
def test_chinese_is_asked_in_chinese(language: str) -> None:
    assert prompt(HAN, "parrot", language) == "这是什么？\nA. 猫\nB. 狗\n请直接用给定选项中的选项字母回答。"
    assert prompt(PLAIN, "parrot", language).endswith("\n请直接用给定选项中的选项字母回答。")
    assert prompt(HAN, "llava", language).endswith("\n请直接回答选项字母。")
    assert prompt(HAN, "qwen2_vl", language).endswith("B. 狗\n请直接回答选项字母。")
    assert prompt(HAN, "default", language).endswith(
        "B. 狗\nPlease select the correct answer from the options above. \n"
    )


def test_han_characters_decide_whatever_the_language() -> None:
    assert prompt(HAN, "parrot", "ar", concat=True).endswith("请直接用给定选项中的选项字母回答。")
    assert prompt(HAN, "parrot", "ar").endswith("请直接用给定选项中的选项字母回答。")
    assert prompt(PLAIN | {"hint": "看图。"}, "qwen2_vl").endswith("请直接回答选项字母。")


def test_without_options_no_letter_is_asked_for() -> None:
    bare = {"question": "What is it?", "A": None, "B": math.nan}
    assert prompt(bare, "default") == "Question: What is it?\n"
    assert prompt(bare, "qwen2_vl") == "Question: What is it?"
    assert prompt(bare, "llava") == "What is it?\nAnswer the question directly."
    assert prompt(bare, "parrot", "ar") == "What is it?\nAnswer the question using a single word or phrase."


def test_the_question_alone_shows_no_option() -> None:
    assert prompt(PLAIN, "question") == "What is it?"
    assert prompt(HAN | {"hint": "看图。"}, "question", "zh") == "看图。\n这是什么？"


def test_cells_that_read_as_missing_are_missing() -> None:
    row = PLAIN | {"hint": "N/A", "C": "None", "D": ""}
    assert prompt(row, "llava") == prompt(PLAIN, "llava")


def test_numbers_are_printed_as_the_table_reader_made_them() -> None:
    assert "A. 1.5\nB. 2.0\n" in prompt({"question": "?", "A": 1.5, "B": 2.0}, "default")


def test_a_language_without_a_suffix_is_asked_in_english() -> None:
    assert prompt(PLAIN, "parrot", "hi").endswith("Answer with the option's letter from the given choices directly.")


def test_bad_names() -> None:
    with pytest.raises(ConfigError, match=r"no prompt style named .lava.\. Did you mean .llava."):
        prompt(PLAIN, "lava")
    with pytest.raises(EvaluationDataError, match=r"no question(.|\n)*A, B"):
        prompt({"A": "x", "B": "y"}, "llava")
