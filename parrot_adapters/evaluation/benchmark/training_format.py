"""MMMB-style tables: question, options and answer, one row a dialogue. Read and asked as the evaluation does.

The picture comes first, then the prompt in the style of PARROT's own runs (which asks for the letter in the row's
language), then the right letter. The language is the last part of the file's name: ``MMMB_tr.tsv``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from string import ascii_uppercase
from typing import Any

from parrot_adapters.data.dialogue import Turn
from parrot_adapters.data.formats.data_format import DataFormat
from parrot_adapters.data.formats.record_fields import text_of
from parrot_adapters.data.formats.record_files import Files
from parrot_adapters.data.formats.unread_fields import unread
from parrot_adapters.data.problems import BadSample
from parrot_adapters.data.sources.hub_datasets import HubStream
from parrot_adapters.data.sources.source import ListedRecords, Source
from parrot_adapters.errors import DataError
from parrot_adapters.language_tags import TAG, canonical_language

__all__ = ["MmmbFormat", "open_table"]

STYLE = "parrot"
READ = {"question", "answer", "hint", "image", "pictures", "language", *ascii_uppercase}
UNSCORED = {"l2-category", "g_index", "context"}
"""Columns of the published files that the prompt leaves out, in training as in evaluation."""


def open_table(path: str, *, streaming: bool) -> Source:
    """The rows of a table (``.tsv``), read and checked as the evaluation does.

    Args:
        path: of the table.
        streaming: read it row by row with ``datasets`` instead, unchecked.

    Raises:
        DataError: it is no such table.
    """
    from parrot_adapters.evaluation.benchmark.benchmarks import Benchmark
    from parrot_adapters.evaluation.benchmark.data_error import EvaluationDataError
    from parrot_adapters.evaluation.benchmark.subsets import load_subset

    if streaming:
        return HubStream(path)
    stem, language = _named(Path(path))
    try:
        return ListedRecords(_Rows(load_subset(Path(path), Benchmark(stem, stem), language or "en"), language))
    except EvaluationDataError as error:
        raise DataError(str(error)) from None


class MmmbFormat(DataFormat):
    """Multiple-choice questions: a row a dialogue."""

    def recognise(self, record: object) -> str | None:
        if isinstance(record, Mapping) and {"question", "answer", "A"} <= {*record}:
            return "it has 'question', 'answer' and options"
        return None

    def turns(self, record: Any, files: Files) -> tuple[Turn, ...]:
        from parrot_adapters.evaluation.benchmark.prompts import build_prompt

        if not isinstance(record, Mapping) or record.get("question") is None:
            raise BadSample("bad-record", "the row has no question")
        letter = record.get("answer")
        if letter is None:
            raise BadSample("no-assistant-turn", "the row has no answer; is this a test split?")
        if record.get(str(letter)) is None:
            raise BadSample("bad-record", f"the answer {str(letter)!r} is none of the row's options")
        prompt = build_prompt(record, benchmark="", style=STYLE, language=str(record.get("language") or "en"))
        shown = [files.picture({"base64": picture}) for picture in record.get("pictures", ())]
        if "pictures" not in record and record.get("image"):  # a row of ``datasets``
            image = record["image"]
            shown = [files.picture({"base64": image} if isinstance(image, str) else image)]
        return (Turn("user", (*shown, prompt)), Turn("assistant", (str(letter),)))

    def identity(self, record: Any) -> str | None:
        return text_of(record, "index")

    def unread(self, record: Any) -> Iterable[str]:
        return unread(record, {*READ, *UNSCORED})


class _Rows(Sequence[Any]):
    """Rows of a subset as records: their cells, their language, and the base64 of their pictures."""

    def __init__(self, subset: Any, language: str | None) -> None:
        self._subset, self._language = subset, language

    def __len__(self) -> int:
        return len(self._subset.rows)

    def __getitem__(self, number: Any) -> Any:
        from parrot_adapters.evaluation.benchmark.image_column import resolve_pictures

        row = self._subset.rows[number]
        index = str(row.index)
        pictures = resolve_pictures(index, self._subset.images) if index in self._subset.images else []
        return {**row.cells, "language": self._language, "pictures": pictures}


def _named(path: Path) -> tuple[str, str | None]:
    """Stem and language of a file's name; a name without a language is all stem."""
    found = re.fullmatch(rf"(.+?)_({TAG})", path.stem, re.IGNORECASE | re.ASCII)
    return (found[1], canonical_language(found[2])) if found else (path.stem, None)
