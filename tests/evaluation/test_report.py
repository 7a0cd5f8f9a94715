"""``report.html``: complete, self-contained, and safe whatever a model says."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest
from PIL import Image
from support import benchmark_files
from support.browser import in_a_browser, needs_a_browser, width_needed
from support.evaluation_runs import RUDE, ScriptedHost, likely_run, page_text, run

from parrot_adapters.errors import ParrotWarning
from parrot_adapters.evaluation.benchmark.published import published_scores
from parrot_adapters.evaluation.reports.comparison_page import write_comparison
from parrot_adapters.evaluation.scores.compare_results import compare_runs, read_run
from parrot_adapters.evaluation.scores.routing_summary import routing_statistics
from parrot_adapters.pages import direction, thumbnail


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


def test_calibration_is_drawn_where_likelihoods_exist(tmp_path: Path) -> None:
    result = likely_run(tmp_path)
    page = page_text(result)
    assert page.count('<figure class="reliability">') == 2
    for name, bins in result.result.reliability.items():
        assert f"{name}: ECE {100 * result.result.calibration[name]:.1f}" in page
        assert sum(held.rows for held in bins) == 30
    drawn = re.findall(r"<circle", page)
    assert len(drawn) == sum(len(bins) for bins in result.result.reliability.values())
    assert "As right as it is sure" not in page_text(run(tmp_path / "other", ScriptedHost()))
    content = json.loads((Path(result.run.config.out) / "results.json").read_text("utf-8"))
    assert content["reliability"]["MMMB_en"][0].keys() == {"low", "high", "rows", "confidence", "accuracy"}


def test_favoured_letters_and_languages_of_replies_are_shown(tmp_path: Path) -> None:
    result = run(tmp_path, ScriptedHost())
    page = page_text(result)
    for part in ("Does it favour a letter?", "asked in one order each", "Language of the replies", "<b>script</b>"):
        assert part in page
    bias = result.result.statistics.position_bias["MMMB_en"]
    assert f"<td>{100 * bias.chosen['A']:.0f} <small>/ {100 * bias.keyed['A']:.0f}</small></td>" in page


def test_what_the_router_did_is_summed_up(tmp_path: Path) -> None:
    result = likely_run(tmp_path)
    seen = routing_statistics(result.run)
    assert seen is not None
    assert set(seen["counts"]) == {question.language for question in result.run.questions}
    assert sum(seen["counts"].values()) == len(result.run.answers)
    page = page_text(result)
    assert f"Entropy {seen['entropy']:.2f} of the largest" in page
    assert all(flag in page for flag in seen["flags"])
    bare = run(tmp_path / "bare", ScriptedHost(adapter=False))
    assert routing_statistics(bare.run) is None
    assert "Entropy" not in page_text(bare)


def test_figures_lie_beside_the_page(tmp_path: Path) -> None:
    likely = Path(likely_run(tmp_path).run.config.out)
    assert {path.stem for path in likely.glob("*.png")} == {
        "accuracy", "calibration", "erosion", "position_bias", "routing",
    }  # fmt: skip
    for path in likely.glob("*.png"):
        with Image.open(path) as image:
            assert image.width > 300
            assert len(image.convert("RGB").getcolors(1 << 24)) > 20, "something is drawn"
    plain = Path(run(tmp_path / "plain", ScriptedHost(adapter=False)).run.config.out)
    assert {path.stem for path in plain.glob("*.png")} == {"accuracy", "erosion", "position_bias"}


def test_without_matplotlib_the_page_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.warns(ParrotWarning, match="matplotlib is not installed"):
        result = likely_run(tmp_path)
    assert 'class="reliability"' in page_text(result)
    assert not list(tmp_path.rglob("*.png"))


def test_directions() -> None:
    assert [direction(code) for code in ("ar", "fa", "he", "en", "zh", "tr")] == ["rtl"] * 3 + ["ltr"] * 3


def test_thumbnails_are_small_and_never_fail() -> None:
    import base64

    assert thumbnail(b"not a picture") == ""
    large = base64.b64decode(benchmark_files.picture(0, (1000, 400)))
    assert len(thumbnail(large)) < len(large) / 5


@pytest.mark.slow
@needs_a_browser
def test_a_browser_shows_the_questions(tmp_path: Path) -> None:
    result = run(tmp_path, ScriptedHost())
    page = in_a_browser(f"file://{tmp_path}/out0/report.html#MMMB_ar")
    shown = page.split('id="items"')[1].split("<script")[0]
    assert shown.count("<article") == 12
    assert shown.count('class="prompt" lang="ar" dir="rtl"') == 12
    assert shown.count("<img") == 12
    assert "30 questions, page 1 of 3" in page
    assert width_needed(page_text(result), 390) == 390


@pytest.mark.slow
@needs_a_browser
def test_a_browser_shows_likelihoods_and_what_flipped(tmp_path: Path) -> None:
    likely_run(tmp_path)
    page = in_a_browser(f"file://{tmp_path}/likely/report.html#MMMB_en")
    assert page.split('id="items"')[1].split("<script")[0].count("log-likelihood of letters: A ") == 12
    assert page.count("<circle") > 4
    one, other = (read_run(run(tmp_path, ScriptedHost(seed)).run.config.out) for seed in (0, 1))
    comparison = compare_runs(one, other)
    write_comparison(comparison, tmp_path / "compare.html")
    assert width_needed((tmp_path / "compare.html").read_text("utf-8"), 390) == 390
    page = in_a_browser(f"file://{tmp_path}/compare.html")
    assert f"{sum(map(len, comparison.flipped.values()))} questions, page 1 of" in page
    assert page.split('id="items"')[1].count("<article") == 12
