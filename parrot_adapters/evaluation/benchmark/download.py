"""The published benchmark files by the name of their dataset on the Hub, each checked by its md5."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from parrot_adapters.digests import file_md5
from parrot_adapters.errors import explain
from parrot_adapters.evaluation.benchmark.benchmarks import HUB_DATASET, Benchmark
from parrot_adapters.evaluation.benchmark.data_error import EvaluationDataError

__all__ = ["data_directory"]


def data_directory(data: str, benchmark: Benchmark, languages: Sequence[str]) -> str:
    """The directory of a benchmark's files: ``data`` itself, or where ``AIDC-AI/Parrot-dataset`` was downloaded to.

    Args:
        data: a directory, or the dataset's name.
        benchmark: whose files.
        languages: which to download; none for all that are published.

    Raises:
        EvaluationDataError: a file is not published, cannot be downloaded, or is not the published one.
    """
    if data != HUB_DATASET or Path(data).is_dir():
        return data
    from huggingface_hub import hf_hub_download

    found = ""
    for language in languages or tuple(benchmark.md5):
        if language not in benchmark.md5:
            raise EvaluationDataError(explain(f"{data} has no such file.", missing=benchmark.published(language)))
        name = f"{benchmark.hub_folder}/{benchmark.subset(language).lower()}.tsv"
        try:
            path = Path(hf_hub_download(data, name, repo_type="dataset"))
        except Exception as error:  # of the network, the Hub, the disk
            raise EvaluationDataError(
                explain(
                    "a benchmark file cannot be downloaded.",
                    file=benchmark.published(language),
                    because=(str(error) or type(error).__name__).splitlines()[0],
                    to_do="download it elsewhere, and give its directory as --data",
                )
            ) from error
        md5 = file_md5(path)
        if md5 != benchmark.md5[language]:
            raise EvaluationDataError(
                explain(
                    "a downloaded file is not the published one.",
                    file=path,
                    md5=md5,
                    published=benchmark.published(language),
                    to_do="delete it, and give the same command again",
                )
            )
        found = str(path.parent)
    return found
