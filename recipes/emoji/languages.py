"""The six languages of MMMB, which the text model knows, and twelve more, which nothing here was ever trained on.

The questions were written for this recipe, not taken from a source; native speakers are welcome to improve them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["BY_CODE", "CODES", "ENGLISH", "EVERY_LANGUAGE", "LANGUAGES", "OTHERS", "UNTRAINED", "Language"]


@dataclass(frozen=True)
class Language:
    """A language and what is asked in it.

    Attributes:
        code: BCP-47, also the name of the language in the `emoji` package and in CLDR.
        name: in English.
        own_name: as its speakers write it.
        question: about one picture.
        comparison: about two; ``{}`` stands for the name of what one of them shows.
        places: the two answers to it.
        direction: of writing.
    """

    code: str
    name: str
    own_name: str
    question: str
    comparison: str
    places: tuple[str, str]
    direction: Literal["ltr", "rtl"] = "ltr"


LANGUAGES = (
    Language(
        "en", "English", "English",
        "What is in the picture?", "Which picture shows this: {}?", ("the first", "the second"),
    ),
    Language(
        "zh", "Chinese", "中文", "图片里是什么？", "哪一张图片里有这个：{}？", ("第一张", "第二张")
    ),
    Language(
        "pt", "Portuguese", "Português",
        "O que há na imagem?", "Qual das imagens mostra isto: {}?", ("a primeira", "a segunda"),
    ),
    Language(
        "ar", "Arabic", "العربية",
        "ماذا يوجد في الصورة؟", "أي الصورتين تظهر هذا: {}؟", ("الأولى", "الثانية"), direction="rtl",
    ),
    Language(
        "tr", "Turkish", "Türkçe", "Resimde ne var?", "Hangi resim şunu gösteriyor: {}?", ("birinci", "ikinci")
    ),
    Language(
        "ru", "Russian", "Русский", "Что на картинке?", "На какой картинке это: {}?", ("на первой", "на второй")
    ),
)  # fmt: skip
UNTRAINED = (
    Language(
        "es", "Spanish", "Español",
        "¿Qué hay en la imagen?", "¿Qué imagen muestra esto: {}?", ("la primera", "la segunda"),
    ),
    Language(
        "fr", "French", "Français",
        "Qu'y a-t-il sur l'image ?", "Quelle image montre ceci : {} ?", ("la première", "la deuxième"),
    ),
    Language(
        "de", "German", "Deutsch", "Was ist auf dem Bild?", "Welches Bild zeigt das: {}?", ("das erste", "das zweite")
    ),
    Language(
        "it", "Italian", "Italiano",
        "Cosa c'è nell'immagine?", "Quale immagine mostra questo: {}?", ("la prima", "la seconda"),
    ),
    Language(
        "ja", "Japanese", "日本語", "画像には何がありますか？", "「{}」の画像はどちらですか？", ("一枚目", "二枚目")
    ),
    Language(
        "ko", "Korean", "한국어", "그림에 무엇이 있나요?", "다음 중 ‘{}’ 그림은 어느 것인가요?", ("첫 번째", "두 번째")
    ),
    Language(
        "fa", "Persian", "فارسی",
        "در تصویر چیست؟", "کدام تصویر این را نشان می‌دهد: {}؟", ("اولی", "دومی"), direction="rtl",
    ),
    Language(
        "id", "Indonesian", "Bahasa Indonesia",
        "Apa yang ada di gambar?", "Gambar mana yang menunjukkan ini: {}?", ("yang pertama", "yang kedua"),
    ),
    Language("hi", "Hindi", "हिन्दी", "चित्र में क्या है?", "कौन सा चित्र यह दिखाता है: {}?", ("पहला", "दूसरा")),
    Language("bn", "Bengali", "বাংলা", "ছবিতে কী আছে?", "কোন ছবিতে এটি আছে: {}?", ("প্রথমটিতে", "দ্বিতীয়টিতে")),
    Language("th", "Thai", "ไทย", "ในภาพมีอะไร", "ภาพใดแสดงสิ่งนี้: {}", ("ภาพแรก", "ภาพที่สอง")),
    Language(
        "sw", "Swahili", "Kiswahili",
        "Kuna nini kwenye picha?", "Ni picha ipi inaonyesha hii: {}?", ("ya kwanza", "ya pili"),
    ),
)  # fmt: skip
EVERY_LANGUAGE = (*LANGUAGES, *UNTRAINED)
BY_CODE = {language.code: language for language in EVERY_LANGUAGE}
CODES = tuple(language.code for language in LANGUAGES)  # what the text model was trained in
ENGLISH = CODES[0]  # the language stage 1 is trained in
OTHERS = CODES[1:]  # the languages that erode
