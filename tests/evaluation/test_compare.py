"""``parrot compare``: what may be compared, and what is said about it."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
from support.evaluation_runs import ScriptedHost, run

from parrot_adapters.cli import main
from parrot_adapters.evaluation import EvaluationDataError
from parrot_adapters.evaluation.benchmark.rows import PASS
from parrot_adapters.evaluation.scores.compare_results import compare_runs, read_run
from parrot_adapters.statistics import Interval

CONTENT = {
    "protocol": "paper-2024",
    "benchmark": "mmmb",
    "matcher": "reference",
    "unit": "circular",
    "prompt_style": "default",
    "data": {"MMMB_en": {"md5": "x"}, "MMMB_ar": {"md5": "y"}},
}


def result(path: Path, hits: dict[str, str], **changed: object) -> Path:
    """Write a result whose hits are strings of 0 and 1."""
    content = copy.deepcopy(CONTENT) | changed
    content["subsets"] = {
        name: {"hits": {str(unit): int(hit) for unit, hit in enumerate(text)}} for name, text in hits.items()
    }
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def test_differences_are_counted(tmp_path: Path) -> None:
    a = read_run(result(tmp_path / "a.json", {"MMMB_en": "1" * 8 + "00", "MMMB_ar": "0" * 10}))
    b = read_run(result(tmp_path / "b.json", {"MMMB_en": "1" * 8 + "00", "MMMB_ar": "1" * 6 + "0" * 4}))
    found = compare_runs(a, b)
    english, arabic = found.by_subset["MMMB_en"], found.by_subset["MMMB_ar"]
    assert (english.a, english.b, english.mcnemar.p, english.permutation) == (0.8, 0.8, 1.0, 1.0)
    assert (arabic.a, arabic.b, arabic.mcnemar.only_a, arabic.mcnemar.only_b) == (0.0, 0.6, 0, 6)
    assert arabic.mcnemar.p == pytest.approx(2 / 2**6)
    assert arabic.permutation == pytest.approx(2 / 2**6)
    assert 0 < arabic.interval.low < 0.6 < arabic.interval.high < 1
    assert found.overall.units == 20
    assert found.overall.interval.estimate == pytest.approx(0.3)
    assert found.flipped == {"MMMB_en": (), "MMMB_ar": (0, 1, 2, 3, 4, 5)}


def test_the_passes_of_a_circular_question_are_one_cluster(tmp_path: Path) -> None:
    """A question asked four times, its options turned, says what one question says."""
    units = [question + turn * PASS for question in (1, 2, 3) for turn in range(4)]

    def asked(name: str, hit: int) -> Path:
        path = result(tmp_path / name, {"MMMB_en": ""})
        content = json.loads(path.read_text("utf-8"))
        content["subsets"]["MMMB_en"]["hits"] = {str(unit): hit for unit in units}
        path.write_text(json.dumps(content), encoding="utf-8")
        return path

    found = compare_runs(read_run(asked("a.json", 0)), read_run(asked("b.json", 1))).by_subset["MMMB_en"]
    assert found.permutation == pytest.approx(2 / 2**3), "three questions, not twelve"
    assert found.mcnemar is None


def test_passes_that_repeat_each_other_make_no_interval_narrower(tmp_path: Path) -> None:
    def interval(passes: int) -> Interval:
        paths = []
        for name, right in (("a", (0, 1, 1, 0, 0, 1)), ("b", (1, 1, 1, 0, 1, 0))):
            content = json.loads(result(tmp_path / f"{name}.json", {"MMMB_en": ""}).read_text("utf-8"))
            hits = {question + turn * PASS: hit for question, hit in enumerate(right) for turn in range(passes)}
            content["subsets"]["MMMB_en"]["hits"] = hits
            paths.append(tmp_path / f"{name}.json")
            paths[-1].write_text(json.dumps(content), encoding="utf-8")
        found = compare_runs(*map(read_run, paths))
        assert found.by_subset["MMMB_en"].interval == found.overall.interval
        return found.overall.interval

    once, repeated = interval(1), interval(4)
    assert repeated.estimate == once.estimate == pytest.approx(1 / 6)
    assert (repeated.low, repeated.high) == pytest.approx((once.low, once.high), abs=1e-9)


def test_the_same_question_in_two_languages_is_one_cluster(tmp_path: Path) -> None:
    a = read_run(result(tmp_path / "a.json", {"MMMB_en": "0000", "MMMB_ar": "0000"}))
    b = read_run(result(tmp_path / "b.json", {"MMMB_en": "1110", "MMMB_ar": "1110"}))
    overall = compare_runs(a, b).overall
    assert overall.permutation == pytest.approx(2 / 2**3), "three questions, not six"
    assert overall.mcnemar is None, "units of one question are not independent"
    assert (overall.flips.lost, overall.flips.gained) == (0, 6)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"protocol": "vlmevalkit-2024"}, "differ in protocol"),
        ({"matcher": "robust"}, "differ in matcher"),
        ({"benchmark": "mmbench"}, "differ in benchmark"),
        ({"data": {"MMMB_en": {"md5": "z"}}}, "different files for MMMB_en"),
    ],
)
def test_runs_scored_otherwise_are_refused(tmp_path: Path, changed: dict, says: str, capsys) -> None:
    a = result(tmp_path / "a.json", {"MMMB_en": "10"})
    b = result(tmp_path / "b.json", {"MMMB_en": "10"}, **changed)
    page = tmp_path / "page.html"
    assert main(["compare", str(a), str(b), "--html", str(page)]) == 1
    assert says in capsys.readouterr().err
    assert not page.exists()


def test_asking_in_several_languages_is_accounted_for(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """One language in six differs at p = .03: that is what chance gives, and the last column says so."""
    names = [f"MMMB_{code}" for code in ("ar", "cn", "en", "pt", "ru", "tr")]
    a = result(tmp_path / "a.json", dict.fromkeys(names, "0" * 8))
    b = result(tmp_path / "b.json", dict.fromkeys(names, "0" * 8) | {"MMMB_ar": "1" * 6 + "00"})
    found = compare_runs(read_run(a), read_run(b))
    assert found.by_subset["MMMB_ar"].permutation == pytest.approx(2 / 2**6)
    assert found.holm["MMMB_ar"] == pytest.approx(6 * 2 / 2**6)
    assert main(["compare", str(a), str(b), "--html", str(tmp_path / "page.html")]) == 0
    [line] = [line for line in capsys.readouterr().out.splitlines() if "MMMB_ar" in line]
    assert line.split()[-2:] == ["0.031", "0.188"]
    assert "(Holm)" in (tmp_path / "page.html").read_text("utf-8")


def test_runs_without_common_questions_are_refused(tmp_path: Path) -> None:
    a = read_run(result(tmp_path / "a.json", {"MMMB_en": "10"}))
    b = read_run(result(tmp_path / "b.json", {"MMMB_ar": "10"}))
    with pytest.raises(EvaluationDataError, match="no question in common"):
        compare_runs(a, b)


def test_what_is_not_compared_is_said(tmp_path: Path) -> None:
    a = read_run(result(tmp_path / "a.json", {"MMMB_en": "101", "MMMB_ar": "1"}))
    b = read_run(result(tmp_path / "b.json", {"MMMB_en": "10"}, prompt_style="parrot"))
    found = compare_runs(a, b)
    assert found.overall.units == 2
    assert any("only" in text and "MMMB_ar" in text for text in found.warnings)
    assert any("1 units are only in" in text for text in found.warnings)
    assert found.differing == {"prompt_style": ("default", "parrot")}


@pytest.mark.parametrize("content", ["{", "[]", '{"subsets": {"MMMB_en": {}}}', '{"subsets": {}}'])
def test_files_that_are_no_results(tmp_path: Path, content: str) -> None:
    path = tmp_path / "results.json"
    path.write_text(content)
    with pytest.raises(EvaluationDataError, match="not the result of a run"):
        read_run(tmp_path)
    with pytest.raises(EvaluationDataError, match="no result here"):
        read_run(tmp_path / "nowhere")


def test_the_command_and_its_page(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    one, other = run(tmp_path, ScriptedHost(0)), run(tmp_path, ScriptedHost(1, adapter=False))
    page = tmp_path / "deep" / "page.html"
    assert main(["compare", one.run.config.out, other.run.config.out, "--html", str(page)]) == 0
    shown = capsys.readouterr().out
    for part in ("MMMB_ar", "B - A", "McNemar", "differs: host", "differs: adapter", "wrote"):
        assert part in shown
    text = page.read_text(encoding="utf-8")
    assert "<script>alert" not in text
    assert "http://" not in text
    data = json.loads(text.split('id="data">')[1].split("</script>")[0])
    flipped = compare_runs(read_run(one.run.config.out), read_run(other.run.config.out)).flipped
    assert len(data["items"]) == sum(map(len, flipped.values())) > 5
    for item in data["items"]:
        assert item["prompt"].startswith("Question: ")
        assert item["dir"] == ("rtl" if item["lang"] == "ar" else "ltr")
        assert (item["choices"][1] == item["answer"]) == item["gained"]
