"""The questions of a run: each row of each language with its prompt and what its pictures are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from parrot_adapters.digests import bytes_digest
from parrot_adapters.errors import explain
from parrot_adapters.evaluation.benchmark.benchmarks import Benchmark
from parrot_adapters.evaluation.benchmark.data_error import EvaluationDataError
from parrot_adapters.evaluation.benchmark.download import data_directory
from parrot_adapters.evaluation.benchmark.image_column import decode_picture, resolve_pictures
from parrot_adapters.evaluation.benchmark.prompts import build_prompt, question_options
from parrot_adapters.evaluation.benchmark.rows import Row
from parrot_adapters.evaluation.benchmark.subsets import Subset, find_subsets, load_subset

if TYPE_CHECKING:
    from parrot_adapters.evaluation.answers.evaluation_config import EvaluationConfig

__all__ = ["Question", "limited", "load_questions", "load_subsets"]


@dataclass(frozen=True, eq=False)
class Question:
    """One row, ready to be asked."""

    subset: str
    language: str
    row: Row
    prompt: str
    picture_texts: tuple[str, ...]
    """Base64, decoded by :meth:`pictures` when the batch is made."""
    picture_hashes: tuple[str, ...]

    @property
    def index(self) -> int:
        """The row's index."""
        return self.row.index

    @property
    def options(self) -> dict[str, str]:
        """The options by letter, as they are printed."""
        return question_options(self.row.cells)

    def pictures(self) -> list[bytes]:
        """The encoded pictures.

        Raises:
            EvaluationDataError: the base64 is broken.
        """
        return [decode_picture(text, row=f"{self.subset} {self.index}") for text in self.picture_texts]


def load_subsets(config: EvaluationConfig, benchmark: Benchmark) -> dict[str, Subset]:
    """Read the files of the languages asked for (all that are there, if none are), by language.

    Raises:
        EvaluationDataError: a file is missing or cannot be used.
    """
    files = find_subsets(data_directory(config.data, benchmark, config.languages), benchmark)
    wanted = config.languages or tuple(files)
    absent = [language for language in wanted if language not in files]
    if absent:
        raise EvaluationDataError(
            explain(
                f"no benchmark file for {', '.join(absent)}.",
                directory=config.data,
                found=", ".join(path.name for path in files.values()),
                missing="; ".join(map(benchmark.published, absent)),
            )
        )
    return {language: load_subset(files[language], benchmark, language) for language in wanted}


def load_questions(subsets: Mapping[str, Subset], benchmark: Benchmark, style: str) -> list[Question]:
    """The questions of all languages, in the files' order.

    Args:
        subsets: by language.
        benchmark: theirs.
        style: how prompts are written.

    Raises:
        EvaluationDataError: a picture is not base64.
    """
    hashes: dict[str, str] = {}  # circular passes and languages share pictures
    found = []
    for language, subset in subsets.items():
        for row in subset.rows:
            texts = tuple(resolve_pictures(str(row.index), subset.images)) if str(row.index) in subset.images else ()
            for text in texts:
                if text not in hashes:
                    picture = decode_picture(text, row=f"{subset.name} {row.index}")
                    hashes[text] = bytes_digest([picture])
            prompt = build_prompt(row.cells, benchmark=benchmark.name, style=style, language=language)
            found.append(Question(subset.name, language, row, prompt, texts, tuple(hashes[text] for text in texts)))
    return found


def limited(rows: Sequence[Row], limit: int | None) -> Sequence[Row]:
    """The rows of the first ``limit`` questions by index, circular passes included: the same in every language."""
    if limit is None:
        return rows
    kept = set(sorted({row.question_id for row in rows})[:limit])
    return [row for row in rows if row.question_id in kept]
