"""Benchmarks of others: a few lines in a plugin, and every command knows them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support import benchmark_files
from support.evaluation_runs import ScriptedHost, run

import parrot_adapters as pa
from parrot_adapters.errors import ConfigError
from parrot_adapters.evaluation import Benchmark, EvaluationDataError, Row, benchmark_named, load_subset
from parrot_adapters.evaluation.answers.host_protocol import Answer
from parrot_adapters.evaluation.benchmark.tasks import TASKS
from parrot_adapters.plugins import manager


class Signs:
    @staticmethod
    @pa.hookimpl
    def register_benchmarks(register) -> None:
        register("signs", Benchmark("signs", "SIGNS", made_by="python make_signs.py"))
        register("lazy", lambda: Benchmark("other", "LAZY"))
        register("wrong", lambda: "SIGNS")


@pytest.fixture
def signs() -> Iterator[None]:
    name = manager.register(Signs(), name="signs-plugin")
    yield
    manager.unregister(name)


@pytest.mark.usefixtures("signs")
def test_a_plugins_benchmark_is_evaluated(tmp_path: Path) -> None:
    data = benchmark_files.save_benchmark(tmp_path / "signs", questions=5, stem="SIGNS")
    content = run(tmp_path, ScriptedHost(), benchmark="signs", data=str(data)).result.as_json()
    assert set(content["subsets"]) == {"SIGNS_ar", "SIGNS_en"}
    assert (content["benchmark"], content["unit"]) == ("signs", "row")
    assert benchmark_named("lazy").name == "lazy", "it goes by the name it was registered under"


@pytest.mark.usefixtures("signs")
def test_what_is_no_benchmark_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match=r"signs-plugin.* registered as the benchmark 'wrong' is none"):
        benchmark_named("wrong")
    with pytest.raises(ConfigError, match=r"no benchmark named 'sign'\. Did you mean 'signs'"):
        benchmark_named("sign")


class Circular:
    @staticmethod
    @pa.hookimpl
    def register_benchmarks(register) -> None:
        register("round", Benchmark("round", "ROUND", circular=True))


@pytest.fixture
def circular() -> Iterator[None]:
    name = manager.register(Circular(), name="round-plugin")
    yield
    manager.unregister(name)


class Always(ScriptedHost):
    """Says one letter, or the right one."""

    def __init__(self, letter: str | None) -> None:
        super().__init__(adapter=False)
        self.letter = letter

    def generate(self, asked, max_new_tokens: int) -> list[Answer]:
        return [Answer(self.letter or q.row.answer, True, None) for q in asked]


@pytest.mark.usefixtures("circular")
def test_a_circular_benchmark_is_asked_once_for_each_option(tmp_path: Path) -> None:
    data = benchmark_files.save_benchmark(tmp_path / "round", questions=5, stem="ROUND")
    stubborn = run(tmp_path / "a", Always("A"), benchmark="round", data=str(data))
    assert len(stubborn.run.questions) == 2 * 5 * 4
    assert stubborn.result.subsets["ROUND_en"].overall == 0.0, "every first pass is right, no question is"
    bias = stubborn.result.statistics.position_bias["ROUND_en"]
    assert bias.chosen["A"] == 1.0
    assert bias.keyed == dict.fromkeys("ABCD", 0.25), "the right answer visits every letter"
    assert bias.distance == 0.75
    able = run(tmp_path / "b", Always(None), benchmark="round", data=str(data)).result.as_json()
    assert (able["subsets"]["ROUND_ar"]["overall"], able["unit"]) == (1.0, "circular")
    assert able["subsets"]["ROUND_ar"]["hits"] == {str(i): 1 for i in range(5)}


@pytest.mark.usefixtures("circular")
def test_passes_show_the_same_question_turned(tmp_path: Path) -> None:
    path = benchmark_files.save_benchmark(tmp_path, questions=3, stem="ROUND") / "ROUND_en.tsv"
    subset = load_subset(path, benchmark_named("round"))
    by_question: dict[int, list[Row]] = {}
    for row in subset.rows:
        by_question.setdefault(row.question_id, []).append(row)
    for question, passes in by_question.items():
        assert [row.index for row in passes] == [question + k * 10**6 for k in range(4)]
        assert len({row.options[row.answer] for row in passes}) == 1, "the answer is the same text"
        assert {row.answer for row in passes} == set("ABCD")
        assert len({tuple(row.options.values()) for row in passes}) == 4
        assert all(row.cells[letter] == text for row in passes for letter, text in row.options.items())
        assert len({tuple(subset.pictures(row.index)) for row in passes}) == 1


def test_open_questions_are_not_turned() -> None:
    mine = Benchmark("mine", "MINE", circular=True, tasks=TASKS)
    assert [mine.for_task(task).circular for task in ("choice", "comparison", "naming", "retrieval")] == [1, 1, 0, 0]


@pytest.mark.usefixtures("circular")
def test_rows_that_look_like_passes_already_are_refused(tmp_path: Path) -> None:
    path = benchmark_files.save_benchmark(tmp_path, questions=3, stem="ROUND", passes=2) / "ROUND_en.tsv"
    with pytest.raises(EvaluationDataError, match=r"numbered below 1,000,000(.|\n)*declare passes_in_file"):
        load_subset(path, benchmark_named("round"))
    assert len(load_subset(path, benchmark_named("round")._replace(passes_in_file=True)).rows) == 6
