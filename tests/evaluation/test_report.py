"""``report.html``: complete, self-contained, and safe whatever a model says."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
import tiny_vlm
from evaluation_runs import RUDE, ScriptedHost, page_text, run

from parrot_adapters.evaluation.pages import direction, thumbnail
from parrot_adapters.evaluation.published import published_scores

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def data_of(page: str) -> dict:
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)[1])


def test_the_page_has_everything_inside(tmp_path: Path) -> None:
    result = run(tmp_path, ScriptedHost())
    page = page_text(result)
    for part in (
        "Accuracy by language",
        "Accuracy by category",
        "Which option is chosen",
        "Which experts are used",
        "expert 2",
        "Published scores",
        "vlmevalkit-2024",
        "not found",
        "mean over languages",
        "prompt_sha256",
        result.run.host["weights"],
    ):
        assert part in page
    assert not re.search(r'(?:src|href)\s*=\s*["\'](?!data:)', page), "nothing is loaded from elsewhere"
    assert not re.search(r"@import|url\(", page)
    shown = data_of(page)
    assert len(shown["items"]) == 60
    assert len(shown["pictures"]) == 30, "a picture that two languages show stands once"
    assert all(url.startswith("data:image/jpeg;base64,") for url in shown["pictures"])
    assert [(s["lang"], s["dir"]) for s in shown["subsets"]] == [("ar", "rtl"), ("en", "ltr")]


def test_without_an_adapter_no_experts_are_shown(tmp_path: Path) -> None:
    assert "Which experts are used" not in page_text(run(tmp_path, ScriptedHost(adapter=False)))


def test_what_a_model_says_is_text(tmp_path: Path) -> None:
    page = page_text(run(tmp_path, ScriptedHost(), model="<img src=x onerror=alert(1)>"))
    assert any(item[8] == RUDE.strip() or item[8] == RUDE for item in data_of(page)["items"])
    assert "<script>alert" not in page
    assert "<img src=x" not in page


def test_published_scores_carry_their_protocol(tmp_path: Path) -> None:
    rows = published_scores("mmmb")
    assert len(rows) == 64
    assert published_scores("emoji") == []
    assert {row.protocol for row in rows} == {"paper-2024", "vlmevalkit-2024", "vlmevalkit-2025"}
    assert all(
        row.source and row.protocol_from and set(row.scores) <= {"en", "zh", "pt", "ar", "tr", "ru"} for row in rows
    )
    [first] = [row for row in rows if row.model == "VisualGLM-6B"]
    assert first.scores["ar"] == pytest.approx(0.1538)
    assert (first.protocol, len(published_scores("mmbench"))) == ("paper-2024", 62)
    page = page_text(run(tmp_path, ScriptedHost()))
    assert len(re.findall('<tr class="same">', page)) == sum(row.protocol == "vlmevalkit-2024" for row in rows)
    assert len(re.findall('<tr class="other">', page)) == sum(row.protocol != "vlmevalkit-2024" for row in rows)


def test_directions() -> None:
    assert [direction(code) for code in ("ar", "fa", "he", "en", "zh", "tr")] == ["rtl"] * 3 + ["ltr"] * 3


def test_thumbnails_are_small_and_never_fail() -> None:
    import base64

    assert thumbnail(b"not a picture") == ""
    large = base64.b64decode(tiny_vlm.picture(0, (1000, 400)))
    assert len(thumbnail(large)) < len(large) / 5


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium")
def test_a_browser_shows_the_questions(tmp_path: Path) -> None:
    run(tmp_path, ScriptedHost())
    with tempfile.TemporaryDirectory() as profile:
        done = subprocess.run(
            [
                str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
                "--disable-background-networking", "--disable-component-update", "--disable-sync",
                f"--user-data-dir={profile}", "--virtual-time-budget=3000", "--dump-dom",
                f"file://{tmp_path}/out0/report.html#MMMB_ar",
            ],
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )  # fmt: skip
    shown = done.stdout.split('id="items"')[1].split("<script")[0]
    assert shown.count("<article") == 12
    assert shown.count('class="prompt" lang="ar" dir="rtl"') == 12
    assert shown.count("<img") == 12
    assert "30 questions, page 1 of 3" in done.stdout
