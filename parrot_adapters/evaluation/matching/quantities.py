"""Options that are a number with a unit, and replies that write it otherwise: "20 m" for "20 meters", "两米" for "2米",
"twenty-five years" for "25 years"."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from parrot_adapters.evaluation.matching.counts import number_words, results_before
from parrot_adapters.evaluation.matching.known_languages import Language, known_as, known_languages, revision
from parrot_adapters.evaluation.matching.text_forms import UNSPACED, fold, script

__all__ = ["Quantity", "quantities_of", "quantity_choice"]

UNITS = {
    "m": "1 m m/meter/meters/metre/metres/metro/metros/متر/مترا/امتار/м/метр/метра/метров/метрах/米/公尺",
    "km": "1000 m km/kilometer/kilometers/kilometre/kilometres/quilometro/quilometros/كم/كيلومتر/كيلومترا/كيلومترات/км/"
    "километр/километра/километров/公里/千米",
    "cm": "0.01 m cm/centimeter/centimeters/centimetre/centimetres/centimetro/centimetros/سم/سنتيمتر/سنتيمترا/santim/"
    "santimetre/см/сантиметр/сантиметра/сантиметров/厘米",
    "mm": "0.001 m mm/millimeter/millimeters/millimetre/millimetres/milimetro/milimetros/ملم/مليمتر/milimetre/мм/"
    "миллиметр/миллиметра/миллиметров/毫米",
    "mile": "1609.344 m mile/miles/mi/milha/milhas/ميل/mil/миля/мили/миль/英里",
    "foot": "0.3048 m foot/feet/ft/英尺",
    "g": "1 g gram/grams/gr/grama/gramas/غرام/جرام/غراما/gram/г/гр/грамм/грамма/граммов/克",
    "kg": "1000 g kg/kilo/kilos/kilogram/kilograms/quilo/quilos/quilograma/quilogramas/كغ/كجم/كيلوغرام/كيلوجرام/كيلو/"
    "кг/килограмм/килограмма/килограммов/公斤/千克",
    "t": "1000000 g ton/tons/tonne/tonnes/tonelada/toneladas/طن/أطنان/т/тонна/тонны/тонн/吨",
    "l": "1 l l/liter/liters/litre/litres/litro/litros/لتر/لترا/л/литр/литра/литров/升",
    "ml": "0.001 l ml/milliliter/milliliters/millilitre/millilitres/mililitro/mililitros/مل/мл/миллилитр/миллилитра/"
    "миллилитров/mililitre/毫升",
    "s": "1 s s/sec/second/seconds/segundo/segundos/ثانية/ثوان/ثواني/saniye/с/сек/секунда/секунды/секунд/秒/秒钟",
    "min": "60 s min/mins/minute/minutes/minuto/minutos/دقيقة/دقائق/dk/dakika/мин/минута/минуты/минут/分钟/分",
    "h": "3600 s h/hr/hrs/hour/hours/o'clock/点/点钟/点整/uhr/hora/horas/ساعة/ساعات/saat/ч/час/часа/часов/小时",
    "day": "86400 s day/days/dia/dias/يوم/أيام/يوما/gun/день/дня/дней/天/日",
    "week": "604800 s week/weeks/semana/semanas/أسبوع/أسابيع/hafta/неделя/недели/недель/周/星期",
    "month": "1 month month/months/mes/meses/شهر/أشهر/شهور/ay/месяц/месяца/месяцев/个月",
    "year": "12 month year/years/ano/anos/سنة/سنوات/عام/أعوام/عاما/yil/год/года/лет/年/岁/yas/yasinda",
    "percent": "1 % %/percent/por_cento/بالمئة/بالمائة/في_المئة/في_المائة/yuzde/процент/процента/процентов/％",
    "dollar": "1 $ $/dollar/dollars/usd/dolar/dolares/دولار/دولارا/دولارات/доллар/доллара/долларов/美元",
    "euro": "1 € €/euro/euros/eur/يورو/avro/евро/欧元",
    "yuan": "1 yuan yuan/¥/rmb/cny/юань/юаня/юаней/يوان/元/块",
    "real": "1 real r$/real/reais",
    "lira": "1 lira ₺/tl/lira/ليرة",
    "rouble": "1 rouble ₽/руб/рубль/рубля/рублей",
    "celsius": "1 degree °c/℃/degrees_celsius/degrees/degree/°/graus/graus_celsius/درجة/درجات/درجة_مئوية/derece/градус/"
    "градуса/градусов/摄氏度/度",
}
"""For each unit: how many of which base it is, then every way to write it, in folded text; ``_`` for a space."""
NUMBER = re.compile(r"(?<![\w.,])-?(?:[0-9]{1,3}(?:[,.' ][0-9]{3})+|[0-9]{1,15})(?:[.,][0-9]{1,9})?(?![0-9])", re.ASCII)
CLOCK = re.compile(r"(?<![0-9:])([0-2]?[0-9]):([0-5][0-9])(?![0-9:])", re.ASCII)
HALVES = re.compile(r"\s*半")
"""Half past, behind the hour."""
CHINESE = re.compile(
    "(?<!第)(?<![0-9零一二三四五六七八九十百千两])[零一二三四五六七八九十百千两]{1,7}(?<!千(?=[克米]))"
)
CHINESE_DIGITS = {c: i for i, c in enumerate("零一二三四五六七八九")} | {"两": 2}
CHINESE_TENS = {"十": 10, "百": 100, "千": 1000}
LONGEST = 20_000
NEAR = 12
"""Characters between a word for "the sum is" and the amount."""
RESULT = re.compile(r"[=≈]\s*$")
DUAL = re.compile(r"(?<!\w)(?:متران|مترين)(?!\w)")
"""Arabic has a form for two of a thing, with the number in the word: two metres."""


class Quantity(NamedTuple):
    """A number in its base unit, with the base; without one where none is named."""

    value: float
    base: str | None
    start: int
    plain: float
    """The number as it is written."""

    def is_same(self, other: Quantity) -> bool:
        """True where both mean one amount; a number without a unit may be of any."""
        if self.base is None or other.base is None:
            return math.isclose(self.plain, other.plain)
        return self.base == other.base and math.isclose(self.value, other.value, rel_tol=1e-6)


def quantity_choice(reply: str, options: Mapping[str, str], tag: str | None) -> str | None:
    """Return the one option whose amount a reply names; behind an equals sign the last one.

    Args:
        reply: What was said, without what it rejects.
        options: Option texts by letter.
        tag: Language of the question.
    """
    own = {letter: quantities_of(text, tag) for letter, text in options.items()}
    if any(len(found) != 1 for found in own.values()):
        return None
    said = quantities_of(reply[-LONGEST:], tag)
    text = fold(reply[-LONGEST:])
    results = [q for q in said if RESULT.search(text[max(0, q.start - 3) : q.start])]
    cues = [cue.end() for cue in results_before(tag, revision()).finditer(text)]
    results = results or [
        q for q in said if any(0 <= q.start - end <= NEAR and "," not in text[end : q.start] for end in cues)
    ]
    for amounts in (results[-1:], said):
        chosen = {letter for letter, (amount,) in own.items() for q in amounts if amount.is_same(q)}
        if len(chosen) == 1:
            return chosen.pop()
        named = {letter for letter, (amount,) in own.items() for q in amounts if q.base and amount.is_same(q)}
        if len(named) == 1:
            return named.pop()
    return None


def quantities_of(text: str, tag: str | None) -> list[Quantity]:
    """Return the amounts of a text, in their order.

    Args:
        text: Any text.
        tag: Language of the question.
    """
    language, folded = (tag and known_as(tag)) or "en", fold(text)
    amounts = [
        Quantity(60.0 * int(c[1]) * 60 + 60 * int(c[2]), "s", c.start(), float(c[1])) for c in CLOCK.finditer(folded)
    ]
    folded = CLOCK.sub(lambda clock: " " * len(clock[0]), folded)
    found: list[tuple[int, int, float]] = []
    for number in NUMBER.finditer(folded):
        found.append((number.start(), number.end(), _value(number[0], language)))
    if language == "zh":
        found += [(n.start(), n.end(), _chinese(n[0])) for n in CHINESE.finditer(folded)]
    words = _number_words(language, revision())
    found += [(n.start(), n.end(), _spoken(n[0], language)) for n in words.finditer(folded)]
    amounts += [_with_unit(folded, start, end, value) for start, end, value in sorted(found)]
    amounts += [Quantity(2.0, "m", dual.start(), 2.0) for dual in DUAL.finditer(folded)]
    return sorted(amounts, key=lambda q: q.start)


def _value(number: str, language: str) -> float:
    plain, decimal = number.replace(" ", "").replace("'", ""), "," if _entry(language).decimal_comma else "."
    thousands = "." if decimal == "," else ","
    if plain.count(thousands) == 1 and decimal not in plain and not re.search(rf"\{thousands}[0-9]{{3}}$", plain):
        decimal, thousands = thousands, decimal  # "1.5" in Russian
    return float(plain.replace(thousands, "").replace(decimal, ".", 1).replace(",", ""))


def _chinese(signs: str) -> float:
    total = last = 0
    for sign in signs:
        if sign in CHINESE_TENS:
            total += (last or 1) * CHINESE_TENS[sign]
            last = 0
        else:
            last = CHINESE_DIGITS[sign]
    return float(total + last)


def _entry(language: str) -> Language:
    return known_languages().get(language, Language())


@lru_cache(maxsize=64)
def _word_values(language: str, revision: int) -> dict[str, int]:
    values = {**number_words("en", revision), **number_words(language, revision)}
    for entry in map(_entry, dict.fromkeys(("en", language))):
        for i, forms in enumerate(entry.tens):
            values |= {fold(form): 20 + 10 * i for form in forms.split("/")}
        for large in entry.hundreds:
            word, _, value = large.partition(":")
            values[fold(word)] = int(value)
    if language == "ar":  # "واحدًا" as an object
        values |= {f"{word}ا": value for word, value in values.items() if len(word) > 2}
    return {word: value for word, value in values.items() if not script(word[0]).startswith(UNSPACED)}


@lru_cache(maxsize=64)
def _number_words(language: str, revision: int) -> re.Pattern[str]:
    """One number in words, or several in a row that make one."""
    one = "|".join(re.escape(word) for word in sorted(_word_values(language, revision), key=len, reverse=True))
    joined = "|".join(map(re.escape, _entry(language).number_joiners))
    glue = rf"(?:\s?-\s?|\s+(?:(?:{joined})\s*)?)" if joined else r"\s+"
    ending = "|".join(re.escape(fold(e)) for e in _entry(language).number_endings)
    return re.compile(rf"(?<!\w)(?:{one})(?:{glue}(?:{one})){{0,4}}(?:{ending})?(?!\w)")


def _spoken(phrase: str, language: str) -> float:
    values = _word_values(language, revision())
    if phrase in values:
        return float(values[phrase])
    total = 0
    for found in re.finditer("|".join(map(re.escape, sorted(values, key=len, reverse=True))), phrase):
        value = values[found[0]]
        total = total * value if value in (100, 1000) and 0 < total < value else total + value
    return float(total)


@lru_cache(maxsize=1)
def _units() -> tuple[dict[str, tuple[float, str]], re.Pattern[str], re.Pattern[str]]:
    table: dict[str, tuple[float, str]] = {}
    for entry in UNITS.values():
        factor, base, *_ = entry.split(" ")
        for form in entry.split(" ")[-1].split("/"):
            table[fold(form.replace("_", " "))] = (float(factor), base)
    longest_first = sorted(table, key=len, reverse=True)
    unspaced = [u for u in longest_first if script(u[0]).startswith(UNSPACED) or not u[-1].isalnum()]
    spaced = [u for u in longest_first if u not in unspaced]
    behind = rf"\s?(?:({'|'.join(map(re.escape, unspaced))})|({'|'.join(map(re.escape, spaced))})(?!\w))"
    before = r"(r\$|[$€¥₺₽])\s?$"
    return table, re.compile(behind), re.compile(before)


def _with_unit(text: str, start: int, end: int, value: float) -> Quantity:
    table, behind, before = _units()
    unit = behind.match(text, end)
    name = (unit[1] or unit[2]) if unit else None
    if name is None and (sign := before.search(text[max(0, start - 4) : start])):
        name = sign[1]
    if name is None and re.search(r"(?<!\w)yuzde\s?$", text[max(0, start - 7) : start]):
        name = "%"
    if name is None or name not in table:
        return Quantity(value, None, start, value)
    factor, base = table[name]
    if unit is not None and name == "点" and HALVES.match(text, unit.end()):
        value += 0.5
    return Quantity(value * factor, base, start, value)
