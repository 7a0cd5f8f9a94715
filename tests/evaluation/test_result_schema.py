"""One schema of results: every command writes it, every value is checked where it is read."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.evaluation_runs import ScriptedHost, likely_run, run

from parrot_adapters.evaluation import EvaluationDataError, Result, read_run
from parrot_adapters.evaluation.scores.result import SCHEMA_VERSION

OLD = {
    "protocol": "paper-2024",
    "benchmark": "mmmb",
    "subsets": {"MMMB_en": {"overall": 0.5, "hits": {"1": 1, "2": 0}, "choices": {"1": "A", "2": None}}},
}


def write(folder: Path, content: object) -> Path:
    path = folder / "results.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


@pytest.mark.parametrize("make", [lambda folder: run(folder, ScriptedHost()), likely_run])
def test_what_is_written_is_read_back(tmp_path: Path, make: Callable[[Path], Any]) -> None:
    made = make(tmp_path)
    written = json.loads((Path(made.run.config.out) / "results.json").read_text("utf-8"))
    read = read_run(made.run.config.out).result
    assert read.schema_version == written["schema_version"] == SCHEMA_VERSION
    assert {field.name for field in fields(Result)} <= set(written)
    assert read.as_json() == written
    assert read.subsets["MMMB_en"].hits == made.result.subsets["MMMB_en"].hits
    assert read.statistics == made.result.statistics
    assert read.mode == "exact"


def test_results_without_a_version_are_read(tmp_path: Path) -> None:
    read = read_run(write(tmp_path, OLD)).result
    assert read.schema_version is None
    assert read.subsets["MMMB_en"].hits == {1: 1, 2: 0}


def test_results_of_a_newer_version_are_not(tmp_path: Path) -> None:
    with pytest.raises(EvaluationDataError, match=r"newer parrot_adapters(.|\n)*update"):
        read_run(write(tmp_path, OLD | {"schema_version": SCHEMA_VERSION + 1}))


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("subsets.MMMB_en.hits.1", 7),
        ("subsets.MMMB_en.hits.1", 0.5),
        ("subsets.MMMB_en.hits.1", "1"),
        ("subsets.MMMB_en.hits.1", None),
        ("subsets.MMMB_en.hits.one", 1),
        ("subsets.MMMB_en.hits", [1, 0]),
        ("subsets.MMMB_en.overall", "half"),
        ("subsets.MMMB_en.choices.2", 3),
        ("subsets", []),
        ("protocol", 1),
        ("data", {"MMMB_en": {"md5": 5}}),
        ("schema_version", "1"),
    ],
)
def test_a_wrong_value_is_named_with_file_and_place(tmp_path: Path, place: str, value: object) -> None:
    content = copy.deepcopy(OLD)
    *path, last = place.split(".")
    inner: Any = content
    for key in path:
        inner = inner[key]
    inner[last] = value
    with pytest.raises(EvaluationDataError) as told:
        read_run(write(tmp_path, content))
    assert str(tmp_path / "results.json") in str(told.value)
    assert place.removesuffix(".one") in str(told.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None, max_examples=200)
@given(st.sampled_from([field.name for field in fields(Result)]), JSON)
def test_nothing_but_our_own_error_leaves(tmp_path_factory: pytest.TempPathFactory, key: str, value: object) -> None:
    path = write(tmp_path_factory.mktemp("results"), OLD | {key: value})
    try:
        read = read_run(path).result
    except EvaluationDataError:
        return
    json.dumps(read.as_json())


@pytest.mark.parametrize("content", [b"\xff\xfe", b"[" * 100_000, b'{"subsets": NaN}', b"{} {}", b""])
def test_files_that_are_not_json(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "results.json"
    path.write_bytes(content)
    with pytest.raises(EvaluationDataError, match="not the result of a run"):
        read_run(path)
