"""The emoji data set: names, splits, both arts, questions, exports."""

from __future__ import annotations

import base64
import io
import json
import re
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from parrot_recipes.emoji import art, cache, concepts, dataset, errors, questions
from parrot_recipes.emoji.languages import CODES, LANGUAGES
from PIL import Image

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


def test_export_round_trip(tmp_path):
    counts = dataset.export(ANIMALS, tmp_path)
    seen = [concept for concept in ANIMALS if concept.split == "seen"]
    assert counts == {"questions": 72, "training samples": 6 * len(seen), "training pictures": len(seen)}

    tables = {code: dataset.read_tsv(tmp_path / f"EMOJI_{code}.tsv") for code in CODES}
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

    samples = json.loads((tmp_path / "llava_train.json").read_text("utf-8"))
    held_out = {concept.code for concept in ANIMALS if concept.split == "held-out"}
    assert not any(sample["id"].rsplit("-", 1)[0] in held_out for sample in samples)
    assert all((tmp_path / sample["image"]).is_file() for sample in samples)
    assert all(sample["conversations"][0]["value"].startswith("<image>\n") for sample in samples)
    attribution = (tmp_path / "ATTRIBUTION.txt").read_text("utf-8")
    assert all(word in attribution for word in ("CC-BY-4.0", "CC-BY-SA-4.0", "Unicode-3.0", "Apache-2.0"))


def test_export_command(tmp_path, capsys):
    assert dataset.command(["export", "--out", str(tmp_path / "set"), "--preset", "tiny_cpu"]) == 0
    assert "72 questions" in capsys.readouterr().out
    assert dataset.command(["credits"]) == 0
    assert "OpenMoji" in capsys.readouterr().out


def test_a_missing_package_is_named_with_the_way_to_get_it():
    with pytest.raises(errors.MissingPackageError, match=r"no_such_package.*the pictures.*\n.*parrot_adapters\[quick"):
        errors.require("no_such_package", "the pictures")
