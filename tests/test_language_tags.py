"""Tags of languages: every spelling has one name, and a region is kept where it matters."""

from __future__ import annotations

import re

import pytest

from parrot_adapters.language_tags import ALIASES, TAG, base_language, canonical_language


@pytest.mark.parametrize(
    ("given", "canonical"),
    [
        ("cn", "zh"), ("CN", "zh"), ("zh_CN", "zh"), ("zh-Hans", "zh"), ("zho", "zh"), ("zh-TW", "zh-tw"),
        ("zh-Hant", "zh-tw"), ("pt-BR", "pt"), (" PT ", "pt"), ("es-MX", "es-mx"), ("es_mx", "es-mx"), ("eng", "en"),
        ("eng-GB", "en-gb"), ("zh-Hant-TW", "zh-tw"), ("zh-SG", "zh"), ("zh-HK", "zh-hk"), ("ger", "de"), ("deu", "de"),
        ("fre", "fr"), ("fra", "fr"), ("gre", "el"), ("per", "fa"), ("ara", "ar"), ("rus", "ru"), ("jpn", "ja"),
        ("kor", "ko"), ("ji", "yi"), ("pt-PT", "pt"), ("chi", "zh"), ("cmn", "zh"),
        ("iw", "he"), ("in", "id"), ("tr", "tr"), ("tur", "tr"), ("sr-Latn-RS", "sr-latn-rs"),
        ("ben", "bn"), ("ell", "el"), ("spa", "es"), ("fas", "fa"), ("hin", "hi"), ("ind", "id"), ("ita", "it"),
        ("por", "pt"), ("swa", "sw"), ("tha", "th"), ("zh-Hans-CN", "zh"), ("zh-Hans-SG", "zh"),
        ("Turkish", "tr"), ("english", "en"), ("Chinese", "zh"), ("VIETNAMESE", "vi"), ("Farsi", "fa"),
    ],
)  # fmt: skip
def test_one_name_for_every_spelling(given, canonical):
    assert canonical_language(given) == canonical
    assert canonical_language(canonical) == canonical


def test_aliases_lead_to_a_tag_that_has_no_other_name():
    assert all(canonical_language(tag) == tag for tag in ALIASES.values())
    assert all(tag == tag.lower() and "_" not in tag for tag in ALIASES)


def test_a_region_is_not_a_language():
    assert [base_language(tag) for tag in ("es-MX", "zh-TW", "pt-BR", "sr-Latn-RS")] == ["es", "zh", "pt", "sr"]


@pytest.mark.parametrize(
    ("text", "is_tag"),
    [
        *(
            ("en", True),
            ("es-mx", True),
            ("es-419", True),
            ("zh-Hant-TW", True),
            ("en-backup", False),
            ("english", False),
        ),
        *(
            ("zh_TW", True),
            ("es_419", True),
            ("zh_Hant_TW", True),
            ("sr_Latn", True),
            ("en_test", False),
            ("en_gpt", False),
        ),
    ],
)
def test_what_a_file_name_may_say(text, is_tag):
    assert bool(re.fullmatch(TAG, text, re.IGNORECASE)) == is_tag
