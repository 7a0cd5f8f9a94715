"""The text part of one question, byte for byte as each prompt style of the field's harness writes it.

The picture comes before the text. Styles: ``default`` (the harness's own), ``llava``, ``qwen2_vl``, ``parrot``; and one
of ours, ``question``, which shows no options, for log-likelihoods of the options' texts.
"""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Mapping

from parrot_adapters.errors import ConfigError, explain, suggest
from parrot_adapters.evaluation.benchmark.cell_values import reads_as_missing
from parrot_adapters.evaluation.benchmark.data_error import EvaluationDataError
from parrot_adapters.language_tags import canonical_language

__all__ = ["PROMPT_STYLES", "QUESTION_ALONE", "build_prompt", "question_options"]

QUESTION_ALONE = "question"
"""The style without options: a reply can name none by its letter."""
BY_LETTER = "Answer with the option's letter from the given choices directly."
BY_LETTER_ZH = "请直接回答选项字母。"
SELECT = "Please select the correct answer from the options above."
PARROT_BY_LETTER = {
    "ar": "أجب مباشرةً بحرف الخيار من الاختيارات المعطاة.",
    "pt": "Responda diretamente com a letra da opção das escolhas dadas.",
    "ru": "Ответьте буквой варианта из предложенных вариантов напрямую.",
    "tr": "Verilen seçeneklerden doğrudan seçeneğin harfi ile cevap verin.",
    "zh": "请直接用给定选项中的选项字母回答。",
}
HAN = re.compile("[\u4e00-\u9fff]")


def build_prompt(row: Mapping[str, object], *, benchmark: str, style: str, language: str, concat: bool = False) -> str:
    """Return the prompt of one row, images left out.

    Args:
        row: Cells of the row by column: ``question``, the options ``A`` to ``Z``, optionally ``hint``. Cells that the
            harness would read as missing (empty, NaN, or spelled ``None``, ``N/A``, ...) count as missing here too.
        benchmark: Name of the benchmark. No style depends on it today; it is part of the call because a style may.
        style: Name of the prompt's style: ``default``, ``llava``, ``qwen2_vl``, ``parrot`` or ``question``.
        language: Language of the row, such as ``"ar"``; ``"zh"`` and ``"cn"`` are the same.
        concat: Whether to reproduce a run under the all-in-one dataset name, in which the harness loses the language
            (default: no): the ``parrot`` style then asks in English, except where the text has Chinese characters.

    Raises:
        ConfigError: The style is unknown.
        EvaluationDataError: The row has no question.
    """
    if style not in PROMPT_STYLES:
        raise ConfigError(
            explain(f"no prompt style named {style!r}.{suggest(style, PROMPT_STYLES)}", known=", ".join(PROMPT_STYLES))
        )
    if "question" not in row:
        raise EvaluationDataError(explain("a row has no question.", given=", ".join(map(str, row))))
    hint = None if reads_as_missing(row.get("hint")) else str(row["hint"])
    suffix_language = None if concat else canonical_language(language)
    return PROMPT_STYLES[style](hint, str(row["question"]), question_options(row), suffix_language)


def question_options(row: Mapping[str, object]) -> dict[str, str]:
    """Return the options of a row that have a text, by letter and in the order of their letters, as they are printed.

    Args:
        row: Cells of the row by column.
    """
    return {letter: str(row[letter]) for letter in string.ascii_uppercase if not reads_as_missing(row.get(letter))}


def _sections(hint: str | None, question: str, options: Mapping[str, str], request: Callable[[str], str]) -> str:
    text = f"Hint: {hint}\n" if hint is not None else ""
    text += f"Question: {question}\n"
    if options:
        text += "Options:\n" + "".join(f"{letter}. {option}\n" for letter, option in options.items())
        text += request(text)
    return text


def _lines(hint: str | None, question: str, options: Mapping[str, str]) -> str:
    asked = question if hint is None else f"{hint}\n{question}"
    return "\n".join([asked, *(f"{letter}. {option}" for letter, option in options.items())])


def _default(hint: str | None, question: str, options: Mapping[str, str], language: str | None) -> str:
    return _sections(hint, question, options, lambda text: f"{SELECT} \n")


def _qwen2_vl(hint: str | None, question: str, options: Mapping[str, str], language: str | None) -> str:
    return _sections(hint, question, options, lambda text: BY_LETTER_ZH if HAN.search(text) else SELECT).rstrip()


def _llava(hint: str | None, question: str, options: Mapping[str, str], language: str | None) -> str:
    text = _lines(hint, question, options)
    if options:
        return f"{text}\n{BY_LETTER_ZH if HAN.search(text) else BY_LETTER}"
    return f"{text}\n" + ("请直接回答问题。" if HAN.search(text) else "Answer the question directly.")


def _parrot(hint: str | None, question: str, options: Mapping[str, str], language: str | None) -> str:
    text = _lines(hint, question, options)
    chinese = HAN.search(text) is not None
    if options:
        spoken = "zh" if chinese else language or "en"
        return f"{text}\n{PARROT_BY_LETTER.get(spoken, BY_LETTER)}"
    return f"{text}\n" + (
        "请用单个词或短语回答问题。" if chinese else "Answer the question using a single word or phrase."
    )


def _question(hint: str | None, question: str, options: Mapping[str, str], language: str | None) -> str:
    return _lines(hint, question, {})


PROMPT_STYLES: dict[str, Callable[[str | None, str, Mapping[str, str], str | None], str]] = {
    "default": _default,
    "llava": _llava,
    "qwen2_vl": _qwen2_vl,
    "parrot": _parrot,
    QUESTION_ALONE: _question,
}
