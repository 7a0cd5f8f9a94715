"""One spelling for each language: the tags of data sets, file names, predictions and detectors, made comparable.

Tags are those of BCP 47 in lower case: a language, and where it matters a script or region (``es-mx``, ``zh-tw``).
"""

from __future__ import annotations

__all__ = ["ALIASES", "TAG", "base_language", "canonical_language"]

TAG = r"[a-z]{2,3}(?:-[a-z]{4}|_(?:arab|cyrl|deva|hans|hant|latn))?(?:[-_](?:[a-z]{2}|[0-9]{3}))?"
"""A language, perhaps its script and region, as files are named by it (``zh-TW``, ``zh_TW``): a regular expression, to
be matched whatever the case. Behind ``_`` only scripts that are known count: words of four letters follow there too."""

SIMPLIFIED = ("cn", "zh-cn", "zh-sg", "zh-hans", "zh-hans-cn", "zh-hans-sg", "zho", "chi", "cmn")
# Of three letters (ISO 639-2), the languages that the library knows; of two, those that ISO 639-1 has withdrawn.
OTHER_CODES = (
    "ara ar, ben bn, deu de, ger de, ell el, gre el, eng en, spa es, fas fa, per fa, fra fr, fre fr, hin hi, ind id, "
    "ita it, jpn ja, kor ko, por pt, rus ru, swa sw, tha th, tur tr, zho zh, chi zh, cmn zh, iw he, in id, ji yi"
)
# Data sets and detectors also give English names.
NAMES = (
    "arabic ar, bengali bn, chinese zh, czech cs, dutch nl, english en, farsi fa, finnish fi, french fr, german de, "
    "greek el, hebrew he, hindi hi, hungarian hu, indonesian id, italian it, japanese ja, korean ko, persian fa, "
    "polish pl, portuguese pt, romanian ro, russian ru, spanish es, swahili sw, swedish sv, tamil ta, thai th, "
    "turkish tr, ukrainian uk, urdu ur, vietnamese vi"
)
CODES = dict(pair.split() for pair in OTHER_CODES.split(", "))
ALIASES = {
    **CODES,
    **dict(pair.split() for pair in NAMES.split(", ")),
    **dict.fromkeys(SIMPLIFIED, "zh"),  # files of this field call it "cn"; traditional characters keep their region
    **dict.fromkeys(("zh-hant", "zh-hant-tw"), "zh-tw"),
    **dict.fromkeys(("pt-br", "pt-pt"), "pt"),  # both norms are one language to every benchmark here
}
"""Other spellings of a tag, in lower case and with hyphens, by what the library calls it."""


def canonical_language(tag: str) -> str:
    """Return the library's spelling of a language tag: lower case, hyphens, and one name for what has several.

    Args:
        tag: Language tag, such as ``"PT"``, ``"es_MX"`` or ``"cn"``, or a language's English name.

    >>> [canonical_language(tag) for tag in ("cn", "PT", "es_MX", "zh-Hant", "eng-US")]
    ['zh', 'pt', 'es-mx', 'zh-tw', 'en-us']
    """
    plain = tag.strip().lower().replace("_", "-")
    if plain in ALIASES:
        return ALIASES[plain]
    language, hyphen, rest = plain.partition("-")
    return f"{CODES.get(language, language)}{hyphen}{rest}"


def base_language(tag: str) -> str:
    """Return the language of a tag without its script and region.

    Args:
        tag: Language tag.

    >>> base_language("es-MX"), base_language("zh_TW"), base_language("en")
    ('es', 'zh', 'en')
    """
    return canonical_language(tag).partition("-")[0]
