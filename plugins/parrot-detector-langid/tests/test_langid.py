"""Short prompts of many languages, and abstaining; needs py3langid, no network."""

from __future__ import annotations

import copy
import pickle

import parrot_detector_langid
import pytest
import torch
from parrot_detector_langid import LANGUAGES, LangidDetector

from parrot_adapters.errors import ConfigError
from parrot_adapters.plugins import PluginManager

QUESTIONS = {
    "en": ["What is in the picture?", "Which country is this?", "What color is the car?"],
    "zh": ["图中有什么?", "这是什么颜色？"],
    "pt": ["O que há na imagem?", "De que cor é o carro?"],
    "ar": ["ماذا في الصورة؟", "ما لون السيارة؟"],
    "tr": ["Resimde ne var?", "Arabanın rengi nedir?"],
    "ru": ["Что на картинке?", "Какого цвета машина?"],
}
PAPER = tuple(QUESTIONS)


class Characters:
    """A tokenizer of single characters; id 0 is special."""

    def decode(self, ids, skip_special_tokens):
        assert skip_special_tokens
        return "".join(chr(i) for i in ids if i)


def encode(*texts):
    size = max(map(len, texts))
    ids = torch.tensor([[*map(ord, text), *[0] * (size - len(text))] for text in texts])
    return ids, ids != 0


@pytest.mark.parametrize("language", PAPER)
@pytest.mark.parametrize("expected", [PAPER, LANGUAGES], ids=["six", "default"])
def test_short_prompts(language, expected):
    detector = LangidDetector(Characters(), languages=expected)
    for question in QUESTIONS[language]:
        assert detector.detect(question) == language


@pytest.mark.parametrize("text", ["", "   ", "12345", "OK", "???", "Was ist auf dem Bild zu sehen?", "¿Qué es esto?"])
def test_abstains(text):
    """Too little to go by, or a language that is not expected."""
    assert LangidDetector(Characters(), languages=PAPER).detect(text) is None


def test_rows_and_mask():
    ids, mask = encode("Resimde ne var?", "What is in the picture?", "12345")
    detector = LangidDetector(Characters())
    assert detector(ids, mask) == ["tr", "en", None]
    assert detector(ids, torch.zeros_like(mask)) == [None] * 3


def test_expected_languages_from_the_environment(monkeypatch):
    monkeypatch.setenv("PARROT_DETECTOR_LANGUAGES", "en, pt")
    assert LangidDetector(Characters()).languages == ("en", "pt")


@pytest.mark.parametrize("languages", [["en", "xx"], []])
def test_unknown_languages(languages):
    with pytest.raises(ConfigError):
        LangidDetector(Characters(), languages=languages)


def test_goes_with_a_copied_or_pickled_host():
    detector = LangidDetector(Characters())
    assert len(pickle.dumps(detector)) < 2000
    assert copy.deepcopy(detector).detect("Resimde ne var?") == "tr"


def test_the_module_is_a_plugin():
    plugins = PluginManager()
    plugins.register(parrot_detector_langid)
    assert plugins.find("detector", "langid").factory is LangidDetector
