"""Naming and retrieval: what is asked, what counts, and what a model that knows nothing scores."""

from __future__ import annotations

import csv
import itertools
import json
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import benchmark_files
from support.browser import in_a_browser, needs_a_browser
from support.evaluation_runs import ScriptedHost

import parrot_adapters as pa
from parrot_adapters.cli import main
from parrot_adapters.errors import ConfigError
from parrot_adapters.evaluation import Benchmark, EvaluationDataError
from parrot_adapters.evaluation.answers.evaluate import Evaluation, evaluate
from parrot_adapters.evaluation.answers.evaluation_config import EvaluationConfig
from parrot_adapters.evaluation.answers.host_protocol import Answer
from parrot_adapters.evaluation.answers.open_questions import POOL, pools
from parrot_adapters.evaluation.reports.open_page import write_task_report
from parrot_adapters.evaluation.scores.name_match import CharacterF, exactly
from parrot_adapters.evaluation.scores.result import Result
from parrot_adapters.evaluation.scores.retrieval import recall_at
from parrot_adapters.evaluation.scores.score_open_task import Item, score_items, score_task, write_task_results
from parrot_adapters.testing import save_small_host

NAMES = {
    "en": ["cat", "dog", "fox", "ant", "bee", "cow", "hen", "owl", "rat", "yak"],
    "ar": ["قطة", "كلب", "ثعلب", "نملة", "نحلة", "بقرة", "دجاجة", "بومة", "جرذ", "ثور"],
}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Ten pictures, each with a name of its own, in two languages."""
    folder = tmp_path / "data"
    folder.mkdir()
    for language, names in NAMES.items():
        with (folder / f"EMOJI_{language}.tsv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, delimiter="\t", lineterminator="\n")
            writer.writerow(["index", "question", *"ABCD", "answer", "category", "image", "split"])
            for i in range(len(names)):
                options = [names[(i + j) % len(names)] for j in range(4)]
                right = options.pop(0)
                options.insert(i % 4, right)
                picture, split = benchmark_files.picture(i), "seen" if i < 7 else "held-out"
                writer.writerow([i, "What is it?", *options, "ABCD"[i % 4], "animal", picture, split])
    return folder


def config(data: Path, out: Path, task: str, **changed: object) -> EvaluationConfig:
    settings = {
        "model": "none",
        "benchmark": "emoji",
        "data": str(data),
        "protocol": None,
        "out": str(out),
        "task": task,
    }
    return EvaluationConfig(**settings | {"prompt_style": "question", **changed})


class Namer(ScriptedHost):
    """Knows the name of every picture, and says it in its own way."""

    def __init__(self, way: str = "{}") -> None:
        super().__init__(adapter=False)
        self.way = way

    def _reply(self, question):
        name = question.options[question.row.answer]
        return replace(super()._reply(question), prediction=self.way.format(name), routing=None)


def scored(run: Evaluation) -> tuple[Evaluation, list[Item], Result]:
    items = score_items(run)
    return run, items, score_task(run, items, resamples=50)


# --- naming ----------------------------------------------------------------------------------------------------------


def test_naming_shows_no_option_and_keeps_the_style(data: Path, tmp_path: Path) -> None:
    run = evaluate(config(data, tmp_path / "out", "naming"), host=Namer())
    assert {question.prompt for question in run.questions} == {"What is it?"}
    assert [q.options[q.row.answer] for q in run.questions if q.language == "ar"] == NAMES["ar"]
    run = evaluate(config(data, tmp_path / "out2", "naming", prompt_style="llava"), host=Namer())
    assert {question.prompt for question in run.questions} == {"What is it?\nAnswer the question directly."}


@pytest.mark.parametrize(("way", "exact"), [("{}", 1), (" {}. ", 1), ("{0} {0}", 0), ("", 0), ("it is a {}", 0)])
def test_exact_names(data: Path, tmp_path: Path, way: str, exact: float) -> None:
    _, _, result = scored(evaluate(config(data, tmp_path / "out", "naming"), host=Namer(way)))
    measured = result.measures
    assert measured["exact"].language_macro.estimate == exact
    assert (measured["chrF"].language_macro.estimate == 1) == (way == "{}")
    by_language = measured["exact"].subsets
    assert {name: found.splits["held-out"] for name, found in by_language.items()} == {
        "EMOJI_en": exact, "EMOJI_ar": exact,
    }  # fmt: skip
    assert by_language["EMOJI_ar"].lost.estimate == 0
    assert by_language["EMOJI_en"].lost is None


def test_exactness_forgives_case_width_and_edges_only() -> None:
    assert exactly("  Red   APPLE!", "red apple")
    assert exactly("ＣＡＴ", "cat")
    assert exactly("\u200fفيل.", "فيل")
    assert exactly("Straße", "STRASSE")
    assert not exactly("redapple", "red apple")
    assert not exactly("elma", "elmas")
    assert not exactly("", "cat")


def test_chrf_is_sacrebleus_and_named() -> None:
    metric = CharacterF()
    assert metric("red apple", "red apple") == pytest.approx(1)
    assert metric("xyz", "abc") == 0
    assert 0 < metric("red apples", "red apple") < 1
    assert metric.mean([("a", "a"), ("b", "a")]) == pytest.approx(0.5)
    assert "nc:6" in metric.signature


# --- retrieval -------------------------------------------------------------------------------------------------------


@given(st.sets(st.integers(0, 10**5), min_size=2, max_size=200), st.integers(2, 26))
def test_pools_are_a_partition_into_about_equal_parts(indices: set[int], size: int) -> None:
    made = pools(indices, size)
    assert sorted(itertools.chain(*made)) == sorted(indices)
    assert max(map(len, made)) <= size
    assert max(map(len, made)) - min(map(len, made)) <= 1


def test_one_row_is_no_pool() -> None:
    with pytest.raises(EvaluationDataError, match="at least two rows"):
        pools([3])


@given(st.lists(st.integers(0, 3), min_size=1, max_size=6), st.data(), st.integers(1, 7))
def test_recall_is_the_mean_over_all_orders_of_the_tied(scores: list[int], drawn: st.DataObject, k: int) -> None:
    right = drawn.draw(st.integers(0, len(scores) - 1))
    found = []
    for order in itertools.permutations(range(len(scores))):
        ranked = sorted(order, key=lambda i: -scores[i])  # stable: ties stay in the permuted order
        found.append(right in ranked[:k])
    assert recall_at(scores, right, k) == pytest.approx(fmean(found))


def retrieved(data: Path, out: Path, score) -> tuple[Evaluation, dict[str, object]]:
    """A run whose log-likelihoods are planted: ``score(picture, text)``, both as row numbers."""
    asked = config(data, out, "retrieval")
    naming = evaluate(config(data, out, "naming"), host=Namer())
    from parrot_adapters.evaluation.answers.open_questions import open_questions
    from parrot_adapters.evaluation.benchmark.questions import load_questions

    questions = open_questions(
        "retrieval", load_questions(naming.subsets, asked.source, "question"), "emoji", "question"
    )
    answers = []
    for q in questions:
        places = {letter: NAMES[q.language].index(text) for letter, text in q.options.items()}
        text = {letter: float(score(q.index, place)) for letter, place in places.items()}
        scores = {"letter": {}, "text": text, "tokens": dict.fromkeys(text, 1.0)}
        answers.append(Answer(None, scores=scores))
    run = replace(naming, config=asked, questions=questions, answers=answers)
    return run, scored(run)[2].measures


def test_pools_are_the_same_in_every_language_and_hold_the_right_text(data: Path, tmp_path: Path) -> None:
    run, _ = retrieved(data, tmp_path / "out", lambda picture, text: 0)
    assert len(NAMES["en"]) < POOL
    for question in run.questions:
        names = NAMES[question.language]
        assert sorted(names.index(text) for text in question.options.values()) == list(range(10))
        assert question.options[question.row.answer] == names[question.index]
        assert question.prompt == "What is it?"


def test_a_model_that_knows_is_right_and_one_that_cannot_tell_is_at_chance(data: Path, tmp_path: Path) -> None:
    _, knows = retrieved(data, tmp_path / "a", lambda picture, text: picture == text)
    assert {measure.language_macro.estimate for measure in knows.values()} == {1.0}
    _, blank = retrieved(data, tmp_path / "b", lambda picture, text: 0)
    for name, measure in blank.items():
        chance = int(name[-1]) / 10
        assert measure.language_macro.estimate == pytest.approx(chance)
        assert measure.subsets["EMOJI_ar"].chance == pytest.approx(chance)


def test_the_two_directions_are_told_apart(data: Path, tmp_path: Path) -> None:
    """A model with a favourite text finds few texts for pictures, yet the right picture for every text."""
    _, biased = retrieved(data, tmp_path / "out", lambda picture, text: (picture == text) + 10 * (text == 0))
    assert biased["text to image R@1"].language_macro.estimate == 1
    assert biased["image to text R@1"].language_macro.estimate == pytest.approx(0.1)
    assert biased["image to text R@5"].language_macro.estimate == 1


def test_two_rows_of_one_name_cannot_be_retrieved(tmp_path: Path) -> None:
    data = benchmark_files.save_benchmark(tmp_path / "emoji", stem="EMOJI")
    with pytest.raises(EvaluationDataError, match="retrieval could not tell them apart"):
        evaluate(config(data, tmp_path / "out", "retrieval"), host=ScriptedHost())


# --- the command -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", ["naming", "retrieval"])
def test_the_command_writes_table_files_and_page(data: Path, tmp_path: Path, task: str, capsys) -> None:
    model, out = save_small_host(tmp_path / "host"), tmp_path / "out"
    argv = ["evaluate", "--model", str(model), "--benchmark", "emoji", "--task", task, "--data", str(data)]
    argv += ["--out", str(out), "--device", "cpu", "--max-new-tokens", "4", "--limit", "6"]
    assert main(argv) == 0
    shown = capsys.readouterr().out
    assert "12 of 12 answers are new" in shown
    assert max(map(len, [line for line in shown.splitlines() if "EMOJI" in line])) <= 80
    assert "mean " in shown
    found = json.loads((out / "results.json").read_text("utf-8"))
    assert found["task"] == task
    for name, by_subset in found["values"].items():
        for subset, values in by_subset.items():
            mean = fmean(values.values())
            assert found["measures"][name]["subsets"][subset]["estimate"] == pytest.approx(mean, abs=1e-5)
    with (out / "rows.csv").open(encoding="utf-8", newline="") as file:
        assert len(list(csv.DictReader(file))) == 12
    page = (out / "report.html").read_text("utf-8")
    assert task in page
    assert "http" not in page.replace("http-equiv", "")
    assert main(argv) == 0
    assert "0 of 12 answers are new" in capsys.readouterr().out


def test_two_runs_are_compared_by_their_first_measure(data: Path, tmp_path: Path, capsys) -> None:
    for out, way in (("a", "{}"), ("b", "{0} {0}")):
        _, items, result = scored(evaluate(config(data, tmp_path / out, "naming"), host=Namer(way)))
        write_task_results(result, items, tmp_path / out)
    assert main(["compare", str(tmp_path / "a"), str(tmp_path / "b")]) == 0
    shown = capsys.readouterr().out
    assert "emoji, protocol naming: exact" in shown
    assert "-100" in shown
    run, _ = retrieved(data, tmp_path / "c", lambda picture, text: 0)
    _, items, result = scored(run)
    write_task_results(result, items, tmp_path / "c")
    found = json.loads((tmp_path / "c" / "results.json").read_text("utf-8"))
    assert set(found["subsets"]["EMOJI_en"]["hits"].values()) == {0}  # what ties is not found
    assert main(["compare", str(tmp_path / "a"), str(tmp_path / "c")]) == 1
    assert "the runs differ in protocol" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"task": "namig"}, "Did you mean 'naming'"),
        ({"benchmark": "mmmb", "task": "naming"}, "has no task 'naming'"),
        ({"task": "naming", "protocol": "paper-2024"}, "leave the protocol out"),
        ({"task": "naming", "scoring": "loglik"}, "reads generated replies"),
        ({"task": "comparison"}, "there is no default"),
    ],
)
def test_bad_usage(changed: dict, says: str, tmp_path: Path) -> None:
    given = {"task": "naming", **changed}
    with pytest.raises(ConfigError, match=says):
        config(tmp_path, tmp_path / "out", **given)


def test_what_pictures_and_replies_say_cannot_become_markup(data: Path, tmp_path: Path) -> None:
    evil = "</script><script>alert(1)</script>"
    run, items, result = scored(evaluate(config(data, tmp_path / "out", "naming"), host=Namer(evil)))
    write_task_results(result, items, tmp_path / "out")
    write_task_report(result, items, run, tmp_path / "out")
    assert evil not in (tmp_path / "out" / "report.html").read_text("utf-8")


def test_a_plugins_benchmark_has_the_tasks_it_declares(data: Path, tmp_path: Path) -> None:
    class Plugin:
        @pa.hookimpl
        def register_benchmarks(self, register):
            register("signs", Benchmark("signs", "EMOJI", tasks=("choice", "naming")))

    pa.plugins.register(Plugin(), "signs-plugin")
    try:
        asked = config(data, tmp_path / "out", "naming", benchmark="signs")
        assert scored(evaluate(asked, host=Namer()))[2].measures["exact"].language_macro.estimate == 1
        with pytest.raises(ConfigError, match="has no task 'retrieval'"):
            config(data, tmp_path / "out", "retrieval", benchmark="signs")
    finally:
        pa.plugins.manager.unregister("signs-plugin")


@pytest.mark.slow
@needs_a_browser
def test_a_browser_shows_the_answers(data: Path, tmp_path: Path) -> None:
    run, items, result = scored(evaluate(config(data, tmp_path / "out", "naming"), host=Namer()))
    write_task_report(result, items, run, tmp_path / "out")
    page = in_a_browser((tmp_path / "out" / "report.html").as_uri())
    assert page.count('<article class="item right"') == 20
    assert page.count('class="prompt" lang="ar" dir="rtl"') == 10
    assert page.count("<img") == 20
    assert "20 questions, page 1 of 1" in page


def test_comparisons_read_their_own_files(data: Path, tmp_path: Path) -> None:
    for language in NAMES:
        rows = ["index\tquestion\tA\tB\tanswer\timage"]
        rows += [
            f"{i}\tWhich?\tone\tother\tB\t['{benchmark_files.picture(i)}', '{benchmark_files.picture(i + 1)}']"
            for i in range(3)
        ]
        (data / f"EMOJI-COMPARISON_{language}.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    asked = config(data, tmp_path / "out", "comparison", protocol="vlmevalkit-2026")
    run = evaluate(asked, host=Namer())
    assert len(run.questions) == 6
    assert {len(question.picture_hashes) for question in run.questions} == {2}
