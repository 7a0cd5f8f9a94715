"""The emoji data set: names, splits, both arts, questions, exports."""

from __future__ import annotations

import ast
import base64
import io
import json
import re
import unicodedata
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from parrot_recipes.emoji import art, benchmark_files, cache, concepts, coverage, dataset, errors, names, questions
from parrot_recipes.emoji.languages import CODES, EVERY_LANGUAGE, LANGUAGES, UNTRAINED
from parrot_recipes.emoji.tokenizer import Vocabulary, load_tokenizer
from PIL import Image

from parrot_adapters.errors import ConfigError
from parrot_adapters.hosts.load_host import load_model

EVERY = concepts.load_concepts()
ANIMALS = concepts.select_concepts(("animal",), max_words=1, limit=12)


def test_enough_concepts_in_fifteen_categories():
    assert len(EVERY) > 1600
    assert {concept.category for concept in EVERY} == set(concepts.CATEGORIES)
    assert len(concepts.CATEGORIES) == 15


@pytest.mark.parametrize("code", CODES)
def test_names_are_unique_and_plain(code):
    names = [concept.names[code] for concept in EVERY]
    assert len({name.casefold() for name in names}) == len(names)
    assert all(name and name == name.strip() and ":" not in name.strip(":") for name in names)
    assert all(unicodedata.is_normalized("NFC", name) for name in names)


def test_names_are_in_their_script():
    by_code = {concept.code: concept for concept in EVERY}
    elephant = by_code["1F418"].names
    assert elephant == {"en": "elephant", "zh": "大象", "pt": "elefante", "ar": "فيل", "tr": "fil", "ru": "слон"}


def test_russian_names_are_mended():
    text = " ".join(concept.names["ru"] for concept in EVERY)
    assert not re.search(r"(ыи|ои|уи|щии|кии)\b", text)
    assert "белый" in text
    assert "стройка" in text
    assert "информации" in text  # a genitive that ends so rightly


def test_neither_skin_tones_nor_flags():
    assert not any(tone in concept.code for concept in EVERY for tone in ("1F3FB", "1F3FC", "1F3FD", "1F3FE", "1F3FF"))
    assert not any(0x1F1E6 <= int(point, 16) <= 0x1F1FF for concept in EVERY for point in concept.code.split("-"))


def test_the_split_does_not_depend_on_the_selection():
    held_out = [concept for concept in EVERY if concept.split == "held-out"]
    assert 0.15 < len(held_out) / len(EVERY) < 0.25
    everywhere = {concept.code: concept.split for concept in EVERY}
    assert all(everywhere[concept.code] == concept.split for concept in ANIMALS)


def test_selection_is_a_limit_and_a_prefix():
    assert len(ANIMALS) == 12
    assert set(ANIMALS) <= set(concepts.select_concepts(("animal",), max_words=1, limit=20))


def test_both_artists_drew_everything():
    assert art.drawn_concepts() == EVERY


@pytest.mark.parametrize("style", ["twemoji", "openmoji"])
def test_pictures_fill_a_white_frame(style):
    pictures = art.load_pictures(ANIMALS, style)
    assert pictures.shape == (12, art.PIXELS, art.PIXELS, 3)
    assert pictures.dtype == np.uint8
    assert (pictures[:, 0, 0] == 255).all()
    drawn = (pictures < 250).any(-1)
    extent = np.maximum(drawn.any(1).sum(1), drawn.any(2).sum(1))
    assert (abs(extent - art.PIXELS * (1 - 2 * art.MARGIN)) <= 6).all()


def test_pictures_are_drawn_once(monkeypatch):
    first = art.load_pictures(ANIMALS[:2], "openmoji")
    monkeypatch.setattr(art, "draw", lambda *_: pytest.fail("drawn again"))
    assert (art.load_pictures(ANIMALS[:2], "openmoji") == first).all()


def test_the_two_arts_differ():
    train, test = art.load_pictures(ANIMALS, "twemoji"), art.load_pictures(ANIMALS, "openmoji")
    assert (np.abs(train.astype(int) - test).mean((1, 2, 3)) > 5).all()


def test_an_interrupted_build_leaves_nothing(recipe_cache):
    def build(path: Path) -> None:
        path.write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cache.cached_file("broken.txt", "key", build)
    assert not list(recipe_cache.rglob("broken*"))
    assert cache.cached_file("broken.txt", "key", lambda path: path.write_text("whole")).read_text() == "whole"


def test_questions_have_one_right_answer_among_four_of_a_category():
    asked = questions.make_questions(EVERY)
    assert len(asked) == len(EVERY)
    for question in asked:
        assert len(set(question.options)) == 4
        assert question.options[question.answer] == question.concept
        assert len({EVERY[option].category for option in question.options}) == 1
    letters = [question.letter for question in asked]
    assert all(0.2 < letters.count(letter) / len(letters) < 0.3 for letter in "ABCD")


@pytest.mark.parametrize("language", UNTRAINED, ids=lambda language: language.code)
def test_every_concept_has_a_name_of_its_own_in_every_language(language):
    called = [names.name_of(concept, language.code) for concept in EVERY]
    assert len({name.casefold() for name in called}) == len(called)
    assert all(name and name == name.strip() and unicodedata.is_normalized("NFC", name) for name in called)
    script = {
        "ja": "CJK|HIRAGANA|KATAKANA",
        "ko": "HANGUL",
        "fa": "ARABIC",
        "hi": "DEVANAGARI",
        "bn": "BENGALI",
        "th": "THAI",
    }
    written = Counter(unicodedata.name(c, "?").split()[0] for name in called for c in name if c.isalpha())
    assert re.match(script.get(language.code, "LATIN"), written.most_common(1)[0][0])


def test_elephants():
    elephant = next(concept for concept in EVERY if concept.code == "1F418")
    assert {language.code: names.name_of(elephant, language.code) for language in UNTRAINED} == {
        "es": "elefante", "fr": "éléphant", "de": "elefant", "it": "elefante", "ja": "ゾウ", "ko": "코끼리",
        "fa": "فیل", "id": "gajah", "hi": "हाथी", "bn": "হাতি", "th": "ช้าง", "sw": "ndovu",
    }  # fmt: skip


def test_the_table_of_names_comes_with_its_licence():
    assert "UNICODE LICENSE V3" in (names.TABLE.parent / "CLDR_LICENSE.txt").read_text("utf-8")


def test_the_table_of_names_is_made_from_annotations(tmp_path):
    for folder in names.FOLDERS:
        for language in names.FROM_CLDR:
            path = tmp_path / "cldr-json" / folder / language / "annotations.json"
            path.parent.mkdir(parents=True)
            derived = "Derived" in folder
            entries = {c.emoji.replace("\ufe0f", ""): {"default": ["x"]} for c in EVERY[:1]}
            entries |= {
                concept.emoji.replace("\ufe0f", ""): {"tts": [names.name_of(concept, language)]}
                for number, concept in enumerate(EVERY)
                if derived == (number % 2 == 0)
            }
            path.write_text(json.dumps({folder.split("/")[1]: {"annotations": entries}}), encoding="utf-8")
    names.make_table(tmp_path, tmp_path / "made.tsv")
    assert (tmp_path / "made.tsv").read_bytes() == names.TABLE.read_bytes()


def test_comparisons_are_of_two_pictures_of_a_kind():
    asked = questions.make_comparisons(EVERY)
    assert len(asked) > 0.45 * len(EVERY)
    shown = [index for comparison in asked for index in comparison.shown]
    assert len(set(shown)) == len(shown)
    for comparison in asked:
        one, other = (EVERY[index] for index in comparison.shown)
        assert (one.category, one.split) == (other.category, other.split)
    assert 0.45 < sum(comparison.place for comparison in asked) / len(asked) < 0.55


def test_comparison_files_name_what_one_of_the_two_pictures_shows(tmp_path):
    asked = questions.make_comparisons(ANIMALS)
    pictures = art.load_pictures(ANIMALS, "openmoji")
    benchmark_files.write_benchmark(tmp_path, ANIMALS, [], asked, pictures, EVERY_LANGUAGE)
    for language in EVERY_LANGUAGE:
        rows = benchmark_files.read_tsv(tmp_path / f"EMOJI-COMPARISON_{language.code}.tsv")
        assert len(rows) == len(asked)
        for row, comparison in zip(rows, asked, strict=True):
            shown = [
                np.asarray(Image.open(io.BytesIO(base64.b64decode(text)))) for text in ast.literal_eval(row["image"])
            ]
            right = shown["AB".index(row["answer"])]
            named = next(c for c in ANIMALS if (pictures[ANIMALS.index(c)] == right).all())
            assert named == ANIMALS[comparison.concept]
            assert names.name_of(named, language.code) in row["question"]
            assert (row["A"], row["B"]) == language.places


def test_export_round_trip(tmp_path):
    counts = dataset.export(ANIMALS, tmp_path)
    seen = [concept for concept in ANIMALS if concept.split == "seen"]
    assert counts == {"questions": 6 * (12 + 5), "training samples": 6 * len(seen), "training pictures": len(seen)}

    tables = {code: benchmark_files.read_tsv(tmp_path / f"EMOJI_{code}.tsv") for code in CODES}
    assert set(tables["en"][0]) == {"index", "question", *"ABCD", "answer", "category", "image", "split"}
    pictures = art.load_pictures(ANIMALS, "openmoji")
    for language in LANGUAGES:
        for row, english, concept, picture in zip(tables[language.code], tables["en"], ANIMALS, pictures, strict=True):
            assert row[row["answer"]] == concept.names[language.code]
            assert row["question"] == language.question
            assert [row[key] for key in ("index", "answer", "category", "image", "split")] == [
                english[key] for key in ("index", "answer", "category", "image", "split")
            ]
            assert (np.asarray(Image.open(io.BytesIO(base64.b64decode(row["image"])))) == picture).all()

    held_out = {concept.code.lower() for concept in ANIMALS if concept.split == "held-out"}
    for name, codes in {"llava_stage1.json": ("en",), "llava_stage2.json": CODES}.items():
        samples = json.loads((tmp_path / name).read_text("utf-8"))
        assert len(samples) == len(seen) * len(codes)
        assert {sample["language"] for sample in samples} == set(codes)
        assert not any(sample["id"].rsplit("-", 1)[0] in held_out for sample in samples)
        assert all((tmp_path / sample["image"]).is_file() for sample in samples)
        assert all(sample["conversations"][0]["value"].startswith("<image>\n") for sample in samples)
    assert load_model(str(tmp_path / "host")).config.image_seq_length == 9
    attribution = (tmp_path / "ATTRIBUTION.txt").read_text("utf-8")
    assert all(word in attribution for word in ("CC-BY-4.0", "CC-BY-SA-4.0", "Unicode-3.0", "Apache-2.0"))


def test_export_command(tmp_path, capsys):
    argv = ["export", "--out", str(tmp_path / "set"), "--preset", "tiny_cpu", "--views", "3"]
    assert dataset.command(argv) == 0
    assert "102 questions" in " ".join(capsys.readouterr().out.split())  # a terminal may be narrow
    samples = json.loads((tmp_path / "set" / "llava_stage1.json").read_text("utf-8"))
    seen = [concept for concept in ANIMALS if concept.split == "seen"]
    assert len({sample["image"] for sample in samples}) == len(samples) == 3 * len(seen)
    with pytest.raises(ConfigError, match="at least 1"):
        dataset.command([*argv, "--views", "0"])
    with pytest.raises(ConfigError, match=r"no language xx\.\n.*en, zh, pt.*sw, six, all"):
        dataset.command([*argv, "--languages", "en,xx"])


@pytest.mark.slow
def test_an_export_is_the_same_every_time_and_its_host_depends_on_the_seed(tmp_path):
    for folder, seed in (("one", 0), ("same", 0), ("other", 1)):
        dataset.export(ANIMALS, tmp_path / folder, grid=2, views=3, seed=seed)
    files = {path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*") if path.is_file()}
    differ = {
        path.name
        for path in files
        if (tmp_path / "one" / path).read_bytes() != (tmp_path / "other" / path).read_bytes()
    }
    assert all((tmp_path / "one" / path).read_bytes() == (tmp_path / "same" / path).read_bytes() for path in files)
    assert "model.safetensors" in differ
    assert not any(name.endswith((".tsv", ".json", ".txt")) for name in differ)


def test_the_languages_are_listed_with_what_the_vocabulary_makes_of_them(capsys):
    assert dataset.command(["languages"]) == 0
    shown = capsys.readouterr().out
    assert all(language.name in shown for language in EVERY_LANGUAGE)
    assert shown.count("never trained") == len(UNTRAINED)
    found = {one.language.code: one for one in coverage.coverage(Vocabulary(load_tokenizer()), EVERY)}
    assert all((found[code].unknown, found[code].distinct) == (0, 1) for code in CODES)
    assert all(found[code].unknown > 0.6 for code in ("ja", "ko", "hi", "bn", "th"))  # no byte fallback
    assert all(found[code].unknown < 0.03 for code in ("es", "fr", "de", "it", "id", "sw"))
    assert found["th"].distinct < 0.1 < found["ja"].distinct < 1


def test_the_credits_are_printed(capsys):
    assert dataset.command(["credits"]) == 0
    assert "OpenMoji" in capsys.readouterr().out


def test_a_missing_package_is_named_with_the_way_to_get_it():
    with pytest.raises(errors.MissingPackageError, match=r"no_such_package.*the pictures.*\n.*parrot_adapters\[quick"):
        errors.require("no_such_package", "the pictures")
