"""Benchmarks of others: a few lines in a plugin, and every command knows them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import tiny_vlm
from evaluation_runs import ScriptedHost, run

import parrot_adapters as pa
from parrot_adapters.errors import ConfigError
from parrot_adapters.evaluation import Benchmark, benchmark_named
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
    data = tiny_vlm.save_benchmark(tmp_path / "signs", questions=5, stem="SIGNS")
    content = run(tmp_path, ScriptedHost(), benchmark="signs", data=str(data)).as_json()
    assert set(content["subsets"]) == {"SIGNS_ar", "SIGNS_en"}
    assert (content["benchmark"], content["unit"]) == ("signs", "row")
    assert benchmark_named("lazy").name == "lazy", "it goes by the name it was registered under"


@pytest.mark.usefixtures("signs")
def test_what_is_no_benchmark_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match=r"signs-plugin.* registered as the benchmark 'wrong' is none"):
        benchmark_named("wrong")
    with pytest.raises(ConfigError, match=r"no benchmark named 'sign'\. Did you mean 'signs'"):
        benchmark_named("sign")
