"""Pages and figures of explanations."""

from __future__ import annotations

import pytest
from miniatures import BOS, FAMILIES, Image

from parrot_adapters.analysis.explain import PromptInputs, explain
from parrot_adapters.analysis.explanation_page import explanation_page, explanation_png


def test_what_prompts_say_cannot_become_markup(handle):
    pytest.importorskip("jinja2")
    evil = "<script>alert(1)</script>"
    found = explain(handle, [PromptInputs(evil, FAMILIES["llava"].batch([[BOS, Image(0), 20]]))], decode=lambda _: evil)
    page = explanation_page(found)
    assert evil not in page
    assert "&lt;script&gt;" in page


def test_one_prompt_draws(handle):
    pytest.importorskip("matplotlib")
    found = explain(handle, [PromptInputs("a", FAMILIES["llava"].batch([[BOS, Image(0), 20]]))])
    assert len(explanation_png(found)) > 1000
