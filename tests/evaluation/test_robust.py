"""Our own matcher: the reference's known failures are mended, clean answers stay right, spelling never matters."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from support.folders import FIXTURES

from parrot_adapters.errors import ConfigError
from parrot_adapters.evaluation import Language, add_language, extract_choice, known_languages, load_languages
from parrot_adapters.evaluation.matching.languages.languages_by_code import LANGUAGES

Matcher = Callable[[str, Mapping[str, str], str | None], str | None]
MMMB = FIXTURES / "mmmb"
XYZ = {"A": "x", "B": "y", "C": "w", "D": "v"}
ANIMALS = {"A": "dog", "B": "cat", "C": "ant"}


def robust(prediction: str, options: Mapping[str, str], language: str | None = None) -> str | None:
    return extract_choice(prediction, options, "robust", language=language)


def reference(prediction: str, options: Mapping[str, str], language: str | None = None) -> str | None:
    return extract_choice(prediction, options, "vlmevalkit-2026")


# Each of these is listed in the fixtures' README as a failure of the reference matchers.
KNOWN_FAILURES = [
    ("The answer is cat", ANIMALS, "en", "B"),
    *(("ＡＢＣＤ"[i], XYZ, None, "ABCD"[i]) for i in range(4)),
    *(("АВС"[i], XYZ, None, "ABC"[i]) for i in range(3)),
    *(("أبجد"[i], XYZ, None, "ABCD"[i]) for i in range(4)),
    *(("١٢٣٤"[i], XYZ, None, "ABCD"[i]) for i in range(4)),
    *(("1234"[i], XYZ, None, "ABCD"[i]) for i in range(4)),
    ("答案是B", XYZ, "zh", "B"),
    ("选B", XYZ, "zh", "B"),
    ("B。", XYZ, "zh", "B"),
    ("\u200fB\u200f", XYZ, "ar", "B"),
    ("\u202bB.\u202c", XYZ, "ar", "B"),
    ("\u200bB", XYZ, None, "B"),
    ('"B"', XYZ, None, "B"),
    ("b", XYZ, None, "B"),
    ("(b)", XYZ, None, "B"),
    ("Cevap B'dir", XYZ, "tr", "B"),
    ("抱歉，我无法回答。", XYZ, "zh", "Z"),
    ("Извините, я не могу ответить.", XYZ, "ru", "Z"),
    ("Desculpe, mas não posso responder.", {"A": "Sim", "B": "Não"}, "pt", "Z"),
    ("عذرًا، لا أستطيع الإجابة.", {"A": "نعم", "B": "لا"}, "ar", "Z"),
    ("Üzgünüm, bu soruyu cevaplayamam.", XYZ, "tr", "Z"),
    ("A resposta é C", XYZ, "pt", "C"),
    *((said, {"A": "İzmir", "B": "İstanbul"}, "tr", "B") for said in ("istanbul", "ISTANBUL", "İSTANBUL", "Istanbul")),
    ("ISTANBUL", {"A": "İzmir", "B": "istanbul"}, None, "B"),
    ("зелёный", {"A": "зеленый", "B": "красный"}, "ru", "A"),
    ("зеленый", {"A": "красный", "B": "Зелёный"}, "ru", "B"),
    ("cafe\u0301", {"A": "café", "B": "chá"}, "pt", "A"),
    ("café", {"A": "cafe\u0301", "B": "chá"}, "pt", "A"),
    ("قِطَّة", {"A": "قطة", "B": "كلب"}, "ar", "A"),
    ("إسطنبول", {"A": "القاهرة", "B": "اسطنبول"}, "ar", "B"),
    ("القاهره", {"A": "القاهرة", "B": "اسطنبول"}, "ar", "A"),
    ("熊猫", {"A": "猫", "B": "熊猫"}, "zh", "B"),
    ("图中是熊猫。", {"A": "猫", "B": "熊猫"}, "zh", "B"),
    ("猫", {"A": "猫", "B": "熊猫"}, "zh", "A"),
]

READ_IN_PASSING = [
    ("Правильный ответ — Б", XYZ, "ru", "B"),
    ("الجواب هو ب", XYZ, "ar", "B"),
    ("الخيار ٢", XYZ, "ar", "B"),
    ("هذه القطة", {"A": "قطة", "B": "كلب"}, "ar", "A"),
    ("Bu bir kedidir", {"A": "at", "B": "kedi"}, "tr", "B"),
    ("Bu hayattaki kedi", {"A": "at", "B": "kedi"}, "tr", "B"),
    ("KIRMIZI", {"A": "mavi", "B": "kırmızı"}, "tr", "B"),
    ("不是", {"A": "是", "B": "不是"}, "zh", "B"),
    ("我认为答案是C，因为图中有猫", {"A": "猫", "B": "狗", "C": "鸟"}, "zh", "C"),
    ("답은 B입니다", XYZ, "ko", "B"),
    ("答えはBです", XYZ, "ja", "B"),
    ("คำตอบคือ ข", XYZ, "th", "B"),
    ("सही उत्तर ख है", XYZ, "hi", "B"),
    ("The answer is a cat", ANIMALS, "en", "B"),
    ("The answer is a", ANIMALS, "en", "A"),
    ("The answer is A because it barks", ANIMALS, "en", "A"),
    ("The correct answer is **B**. Here is why: option A is wrong", ANIMALS, "en", "B"),
    ('{"answer": "B"}', ANIMALS, "en", "B"),
    ("<think>maybe B</think> A", ANIMALS, "en", "A"),
    ("Therefore $\\boxed{\\text{C}}$", ANIMALS, "en", "C"),
    ("Not A, but C", ANIMALS, "en", "C"),
    ("not red but blue", {"A": "red", "B": "blue"}, "en", "B"),
    ("The beach.", {"A": "a street", "B": "a beach"}, "en", "B"),
    ("top left", {"A": "top", "B": "left", "C": "top left"}, "en", "C"),
    ("1.50", {"A": "50", "B": "1.50"}, "en", "B"),
    ("٢", {"A": "١٢", "B": "٢"}, "ar", "B"),
]

# What is not said is not found; two answers are none.
NOT_FOUND = [
    ("A and B", XYZ, "en"),
    ("A, B, C, D", XYZ, "en"),
    ("A/C", XYZ, "en"),
    ("The answer is A or B", XYZ, "en"),
    ("A. dog B. cat C. ant", ANIMALS, "en"),
    ("A imagem mostra um tigre", {"A": "gato", "B": "cão"}, "pt"),
    ("A tiger is shown", ANIMALS, "en"),
    ("В лесу темно", XYZ, "ru"),
    ("Вода", {"A": "Нет", "B": "Да"}, "ru"),
    ("category", ANIMALS, "en"),
    ("Failed to obtain answer via API.", ANIMALS, "en"),
    ("E", XYZ, "en"),
    ("5", XYZ, "en"),
    ("There are 2 cats", {"A": "x", "B": "y"}, "en"),
    ("", XYZ, "en"),
    (" \n", XYZ, "en"),
    ("?!", XYZ, "en"),
]


@pytest.mark.parametrize(("said", "options", "language", "letter"), KNOWN_FAILURES + READ_IN_PASSING)
def test_what_a_reader_would_read(said: str, options: dict[str, str], language: str | None, letter: str) -> None:
    assert robust(said, options, language) == letter


@pytest.mark.parametrize(("said", "options", "language", "letter"), KNOWN_FAILURES)
def test_the_language_is_only_a_hint(said: str, options: dict[str, str], language: str | None, letter: str) -> None:
    assert robust(said, options, None) == letter


def test_the_known_failures_are_failures_of_the_reference() -> None:
    """The double: the reference matcher fails nearly all of them (two replies of 猫 and 1 are read by chance)."""
    failed = [said for said, options, _, letter in KNOWN_FAILURES if reference(said, options) != letter]
    assert len(failed) >= len(KNOWN_FAILURES) - 4


@pytest.mark.parametrize(("said", "options", "language"), NOT_FOUND)
def test_what_is_not_said_is_not_found(said: str, options: dict[str, str], language: str) -> None:
    assert robust(said, options, language) is None


# -- never worse on plain answers ------------------------------------------------------------------------------------

PLAIN = [
    "{}",
    "{}.",
    "({})",
    "{})",
    "**{}**",
    "{}. {text}",
    "{}: {text}",
    "Answer: {}",
    "The answer is {}.",
    "Option {}",
]


def plain_replies(options: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for letter, text in options.items():
        yield from ((form.format(letter, text=text), letter) for form in PLAIN)


def check_plain_answers_are_read(matcher: Matcher) -> None:
    """A letter alone, set off, announced or followed by its own text is that letter, in every language's options."""
    wrong = []
    for options, language in option_sets():
        wrong += [(s, options) for s, letter in plain_replies(options) if matcher(s, options, language) != letter]
        texts = [(t, letter) for letter, t in options.items() if list(options.values()).count(t) == 1]
        wrong += [(t, options) for t, letter in texts if matcher(t, options, language) != letter]
    assert wrong == []


def option_sets() -> list[tuple[dict[str, str], str]]:
    lines = (MMMB / "extraction_cases.jsonl").read_text(encoding="utf-8").splitlines()
    cases = [json.loads(line) for line in lines]
    sets = {(tuple(c["options"].items()), c["lang"]) for c in cases if c["lang"]}
    assert len(sets) > 20
    return [(dict(options), language) for options, language in sorted(sets)]


def test_plain_answers_are_read() -> None:
    check_plain_answers_are_read(robust)


@pytest.mark.parametrize(
    "broken",
    [
        lambda said, options, language: robust(said, options, language) if len(said) > 1 else None,
        lambda said, options, language: robust(said, dict.fromkeys(options, "?"), language),
        lambda said, options, language: next((k for k, v in options.items() if v in said), None),
    ],
)
def test_the_check_of_plain_answers_bites(broken: Matcher) -> None:
    with pytest.raises(AssertionError):
        check_plain_answers_are_read(broken)


def test_on_the_vectors_it_finds_more_and_loses_only_guesses() -> None:
    """Where the reference of 2024 finds a letter and ours does not, the reply names none, or names two."""
    lost = set()
    gained = 0
    for line in (MMMB / "extraction_cases.jsonl").read_text(encoding="utf-8").splitlines():
        case = json.loads(line)
        ours = robust(case["prediction"], case["options"], case["lang"] or None)
        theirs = case["expected"]["vlmevalkit-2024"]
        gained += ours is not None and theirs is None
        if theirs is not None and ours is None:
            lost.add(case["style"])
    assert gained > 450
    # "A or B?", "A x x x" (an article), and two hand-made ones: "Вода" holds "Да", and a failed call holds an option.
    assert lost == {"a_or", "four_after", "five_after", "hand"}


# -- properties ------------------------------------------------------------------------------------------------------

LETTERS = st.sampled_from("ABCD")
WORDS = {
    "en": ["cat", "red car", "bottom left", "umbrella", "seven"],
    "zh": ["红色", "大象", "左下方", "自行车"],
    "pt": ["maçã", "embaixo à direita", "azul", "cão"],
    "ar": ["قطة", "إسطنبول", "سيارة حمراء", "أزرق"],
    "tr": ["İstanbul", "kırmızı", "sağ altta", "şemsiye"],
    "ru": ["зелёный", "чёрная кошка", "слева", "Москва"],
}


@st.composite
def questions(draw: st.DrawFn) -> tuple[str, dict[str, str]]:
    language = draw(st.sampled_from(sorted(WORDS)))
    texts = draw(st.permutations(WORDS[language]))
    return language, dict(zip("ABCD", texts, strict=False))


def respelled(text: str) -> list[str]:
    """The same text for a reader: other normal forms, widths, invisible marks, spaces."""
    return [
        unicodedata.normalize("NFD", text),
        unicodedata.normalize("NFKD", text),
        "\u200f" + text + "\u200e",
        "\ufeff" + text,
        f"  {text}\n",
        "\u200b".join(text),
        text.replace(" ", "\u00a0"),
        "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text),
    ]


def check_spelling_does_not_matter(matcher: Matcher) -> None:
    @settings(deadline=None, max_examples=60)
    @given(questions(), LETTERS, st.sampled_from(["{}", "{}.", "({})", "{}. {text}", "Answer: {}", "{text}"]))
    def holds(question: tuple[str, dict[str, str]], letter: str, form: str) -> None:
        language, options = question
        said = form.format(letter, text=options[letter])
        for other in [said, *respelled(said)]:
            assert matcher(other, options, language) == letter

    holds()


def test_spelling_does_not_matter() -> None:
    check_spelling_does_not_matter(robust)


@pytest.mark.parametrize(
    "broken", [reference, lambda s, o, lang: robust(s.encode("ascii", "ignore").decode(), o, lang)]
)
def test_the_check_of_spelling_bites(broken: Matcher) -> None:
    with pytest.raises(AssertionError):
        check_spelling_does_not_matter(broken)


@settings(deadline=None, max_examples=60)
@given(questions(), LETTERS, st.sampled_from(["upper", "lower", "title"]))
def test_case_does_not_matter_to_texts(question: tuple[str, dict[str, str]], letter: str, casing: str) -> None:
    language, options = question
    text = options[letter]
    if language == "tr":  # Python's casing is not Turkish: İ and ı have partners of their own
        text = {"upper": text.replace("i", "İ"), "lower": text.replace("I", "ı").replace("İ", "i")}.get(casing, text)
        assume(casing != "title")
    assert robust(getattr(text, casing)(), options, language) == letter


@settings(deadline=None, max_examples=60)
@given(questions(), st.permutations("ABCD"), LETTERS, st.sampled_from(["{}", "{text}", "Answer: {}", "It is {text}."]))
def test_relabelling_the_options_relabels_the_answer(
    question: tuple[str, dict[str, str]], order: list[str], letter: str, form: str
) -> None:
    language, options = question
    moved = dict(zip("ABCD", order, strict=True))
    shuffled = {new: options[old] for old, new in moved.items()}
    said, again = (form.format(x, text=options[letter]) for x in (letter, moved[letter]))
    assert robust(said, options, language) == letter
    assert robust(again, shuffled, language) == moved[letter]


@settings(deadline=None, max_examples=200)
@given(
    st.text(max_size=60),
    st.dictionaries(st.sampled_from("ABCDEF"), st.text(max_size=12), max_size=6),
    st.sampled_from([None, *sorted(LANGUAGES), "xx"]),
)
def test_anything_may_be_said(said: str, options: dict[str, str], language: str | None) -> None:
    """No reply is an error, and an answer is an option, a refusal, or nothing."""
    assert robust(said, options, language) in {None, "Z", *options}


# -- new languages ---------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("own_languages")
def test_a_language_is_added_as_data(tmp_path: Path) -> None:
    said = "Vastaus on kirjain B, ei muu"
    options = {"A": "kissa", "B": "koira"}
    assert robust("Vastaus: vaihtoehto β", options, "fi") is None
    path = tmp_path / "finnish.json"
    path.write_text(
        json.dumps({"fi": {"answer": ["vastaus"], "fillers": ["on", "kirjain", "vaihtoehto"], "suffixing": True}})
    )
    assert load_languages(path) == ["fi"]
    assert "fi" in known_languages()
    assert robust(said, options, "fi") == "B"
    assert robust("Kuvassa on koiraa", options, "fi") == "B"
    add_language("fi", Language(answer=("vastaus",), labels={"β": "B"}))
    assert robust("Vastaus: β", options, "fi") == "B"


@pytest.mark.usefixtures("own_languages")
def test_numbers_and_places_of_a_language_are_data(tmp_path: Path) -> None:
    words = {"option": ["vaihtoehto"], "numbers": ["nolla", "yksi", "kaksi/kahta", "kolme"], "tens": ["kaksikymmentä"]}
    words |= {"ordinals": ["ensimmäi+nen/sen", "toi+nen/sen"], "decimal_comma": True}
    counts, weights, pets = {"A": "2", "B": "3"}, {"A": "1,5 kg", "B": "20 kg"}, {"A": "kissa", "B": "koira"}
    asked = [("Näen kahta", counts), ("kaksikymmentä kg", weights), ("toinen vaihtoehto", pets)]
    assert [robust(said, options, "fi") for said, options in asked] == [None, None, None]
    path = tmp_path / "finnish.json"
    path.write_text(json.dumps({"fi": words}), encoding="utf-8")
    load_languages(path)
    assert [robust(said, options, "fi") for said, options in asked] == ["A", "B", "B"]


def test_a_wrong_language_file_names_every_fault(tmp_path: Path) -> None:
    path = tmp_path / "wrong.json"
    path.write_text(json.dumps({"fi": {"anwser": ["vastaus"], "fillers": "on", "suffixing": 1}}))
    with pytest.raises(ConfigError) as caught:
        load_languages(path)
    message = str(caught.value)
    assert "fi.anwser Did you mean 'answer'?" in message
    assert "fi.fillers: str" in message
    assert "fi.suffixing: int" in message
    assert "fi" not in known_languages()


def test_every_language_answers_for_its_own_words() -> None:
    """Each answer word, option word and refusal of the table is read; each label names its letter."""
    options = dict(zip("ABCDE", ["①①", "②②", "③③", "④④", "⑤⑤"], strict=True)) | {"A": "kk", "B": "ll"}
    options |= {"C": "mm", "D": "nn", "E": "pp"}
    for code, language in LANGUAGES.items():
        for word in (*language.answer, *language.option):
            assert robust(f"{word}: B", options, code) == "B", (code, word)
            assert robust(f"{word} B", options, code) == "B", (code, word)
        for phrase in language.refusals:
            assert robust(phrase, options, code) == "Z", (code, phrase)
        for sign, letter in language.labels.items():
            assert robust(sign, options, code) == letter, (code, sign)
