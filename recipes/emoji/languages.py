"""The six languages of MMMB, and the one question that is asked in each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["BY_CODE", "CODES", "ENGLISH", "LANGUAGES", "OTHERS", "Language"]


@dataclass(frozen=True)
class Language:
    code: str  # BCP-47, also the name of the language in the `emoji` package
    name: str  # in English
    own_name: str
    question: str
    direction: Literal["ltr", "rtl"] = "ltr"


LANGUAGES = (
    Language("en", "English", "English", "What is in the picture?"),
    Language("zh", "Chinese", "中文", "图片里是什么？"),
    Language("pt", "Portuguese", "Português", "O que há na imagem?"),
    Language("ar", "Arabic", "العربية", "ماذا يوجد في الصورة؟", direction="rtl"),
    Language("tr", "Turkish", "Türkçe", "Resimde ne var?"),
    Language("ru", "Russian", "Русский", "Что на картинке?"),
)
BY_CODE = {language.code: language for language in LANGUAGES}
CODES = tuple(BY_CODE)
ENGLISH = CODES[0]  # the language stage 1 is trained in
OTHERS = CODES[1:]  # the languages that erode
