"""Every language of this folder, by its tag."""

from __future__ import annotations

from parrot_adapters.evaluation.matching.language_words import Language
from parrot_adapters.evaluation.matching.languages.arabic import ARABIC
from parrot_adapters.evaluation.matching.languages.bengali import BENGALI
from parrot_adapters.evaluation.matching.languages.chinese import CHINESE
from parrot_adapters.evaluation.matching.languages.english import ENGLISH
from parrot_adapters.evaluation.matching.languages.french import FRENCH
from parrot_adapters.evaluation.matching.languages.german import GERMAN
from parrot_adapters.evaluation.matching.languages.greek import GREEK
from parrot_adapters.evaluation.matching.languages.hindi import HINDI
from parrot_adapters.evaluation.matching.languages.indonesian import INDONESIAN
from parrot_adapters.evaluation.matching.languages.italian import ITALIAN
from parrot_adapters.evaluation.matching.languages.japanese import JAPANESE
from parrot_adapters.evaluation.matching.languages.korean import KOREAN
from parrot_adapters.evaluation.matching.languages.persian import PERSIAN
from parrot_adapters.evaluation.matching.languages.portuguese import PORTUGUESE
from parrot_adapters.evaluation.matching.languages.russian import RUSSIAN
from parrot_adapters.evaluation.matching.languages.spanish import SPANISH
from parrot_adapters.evaluation.matching.languages.swahili import SWAHILI
from parrot_adapters.evaluation.matching.languages.thai import THAI
from parrot_adapters.evaluation.matching.languages.turkish import TURKISH

__all__ = ["LANGUAGES"]

LANGUAGES: dict[str, Language] = {
    "en": ENGLISH,
    "zh": CHINESE,
    "pt": PORTUGUESE,
    "ar": ARABIC,
    "tr": TURKISH,
    "ru": RUSSIAN,
    "ja": JAPANESE,
    "ko": KOREAN,
    "es": SPANISH,
    "fr": FRENCH,
    "de": GERMAN,
    "it": ITALIAN,
    "fa": PERSIAN,
    "id": INDONESIAN,
    "hi": HINDI,
    "bn": BENGALI,
    "th": THAI,
    "sw": SWAHILI,
    "el": GREEK,
}
