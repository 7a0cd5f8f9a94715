"""Benchmark files by their name on the Hub, without the Hub."""

from __future__ import annotations

import hashlib
from pathlib import Path
from types import MappingProxyType

import huggingface_hub
import pytest
from support import benchmark_files

from parrot_adapters.evaluation import BENCHMARKS, EvaluationDataError
from parrot_adapters.evaluation.benchmark.benchmarks import HUB_DATASET
from parrot_adapters.evaluation.benchmark.download import data_directory


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = benchmark_files.save_benchmark(tmp_path / "snapshot" / "mmmb", stem="mmmb")

    def download(repo: str, name: str, *, repo_type: str) -> str:
        assert (repo, repo_type) == (HUB_DATASET, "dataset")
        path = tmp_path / "snapshot" / name
        if not path.is_file():
            raise OSError("no network\nnor anything else")
        return str(path)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    return folder


def published(folder: Path) -> MappingProxyType[str, str]:
    files = {"en": folder / "mmmb_en.tsv", "ar": folder / "mmmb_ar.tsv"}
    return MappingProxyType(
        {code: hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest() for code, path in files.items()}
    )


def test_files_are_downloaded_and_checked(hub: Path) -> None:
    benchmark = BENCHMARKS["mmmb"]._replace(md5=published(hub))
    assert data_directory(HUB_DATASET, benchmark, ()) == str(hub)
    assert data_directory("elsewhere", benchmark, ()) == "elsewhere"
    assert "MMMB_ar" in str(benchmark.published("ar"))


def test_an_altered_file_is_refused(hub: Path) -> None:
    benchmark = BENCHMARKS["mmmb"]
    with pytest.raises(EvaluationDataError, match="not the published one") as caught:
        data_directory(HUB_DATASET, benchmark, ("ar",))
    assert benchmark.md5["ar"] in str(caught.value)
    assert published(hub)["ar"] in str(caught.value)


def test_a_file_that_cannot_be_had_is_named(hub: Path) -> None:
    with pytest.raises(EvaluationDataError, match="cannot be downloaded") as caught:
        data_directory(HUB_DATASET, BENCHMARKS["mmmb"], ("ru",))
    assert "no network" in str(caught.value)
    assert BENCHMARKS["mmmb"].md5["ru"] in str(caught.value)
    with pytest.raises(EvaluationDataError, match="not a published language"):
        data_directory(HUB_DATASET, BENCHMARKS["mmmb"], ("fi",))
