"""Several processes on one run, and what is left when one of them dies."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import benchmark_files
from support.evaluation_runs import ScriptedHost

from parrot_adapters.errors import ConfigError
from parrot_adapters.evaluation import EvaluationDataError
from parrot_adapters.evaluation.answers import processes
from parrot_adapters.evaluation.answers.evaluate import evaluate
from parrot_adapters.evaluation.answers.evaluation_config import EvaluationConfig
from parrot_adapters.evaluation.answers.processes import this_process
from parrot_adapters.evaluation.answers.store import AnswerStore


@pytest.fixture
def config(tmp_path: Path) -> EvaluationConfig:
    data = benchmark_files.save_benchmark(tmp_path / "data", questions=10)
    return EvaluationConfig("scripted", "mmmb", str(data), "paper-2024", str(tmp_path / "out"))


def be(patch: pytest.MonkeyPatch, rank: int, count: int) -> None:
    patch.setenv("RANK", str(rank))
    patch.setenv("WORLD_SIZE", str(count))


def test_processes_share_the_questions(config: EvaluationConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    for rank in (2, 1):
        be(monkeypatch, rank, 3)
        assert evaluate(config, host=ScriptedHost()) is None
    be(monkeypatch, 0, 3)
    run = evaluate(config, host=ScriptedHost())
    assert len(run.answers) == 20
    assert 0 < run.made < 20
    lines = [path.read_bytes().splitlines() for path in Path(config.out).glob("answers*.jsonl")]
    assert len(lines) == 3
    assert sum(map(len, lines)) == 20, "nobody asks what another process asks"
    for count in (1, 2):
        be(monkeypatch, 0, count)
        assert evaluate(config, host=ScriptedHost()).made == 0
    assert [a.prediction for a in run.answers] == [
        ScriptedHost()._reply(question).prediction for question in run.questions
    ]


def test_a_process_that_died_is_noticed(config: EvaluationConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "PATIENCE", 0.1)
    be(monkeypatch, 0, 2)
    with pytest.raises(EvaluationDataError, match="another process ended before it was done"):
        evaluate(config, host=ScriptedHost())
    be(monkeypatch, 0, 1)
    assert 0 < evaluate(config, host=ScriptedHost()).made < 20


def test_a_living_process_is_waited_for(config: EvaluationConfig) -> None:
    pytest.importorskip("fcntl")
    folder = Path(config.out)
    with AnswerStore(folder / "answers.jsonl") as first:
        assert not first.others_write()
        with AnswerStore(folder / "answers-1.jsonl"):
            assert first.others_write()
        assert not first.others_write()


@pytest.mark.parametrize(("rank", "count"), [("2", "2"), ("x", "2"), ("0", "-1")])
def test_variables_that_make_no_sense(monkeypatch: pytest.MonkeyPatch, rank: str, count: str) -> None:
    monkeypatch.setenv("RANK", rank)
    monkeypatch.setenv("WORLD_SIZE", count)
    with pytest.raises(ConfigError, match="RANK and WORLD_SIZE"):
        this_process()
