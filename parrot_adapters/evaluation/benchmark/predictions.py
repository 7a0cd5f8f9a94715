"""Replies made by a model, from our JSON lines or from the harness's own files (xlsx, tsv, json)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from parrot_adapters.atomic_files import as_path
from parrot_adapters.errors import explain, suggest
from parrot_adapters.evaluation.benchmark.benchmarks import Benchmark
from parrot_adapters.evaluation.benchmark.cell_values import is_missing
from parrot_adapters.evaluation.benchmark.data_error import EvaluationDataError
from parrot_adapters.evaluation.benchmark.subsets import named
from parrot_adapters.evaluation.benchmark.tsv import read_tsv
from parrot_adapters.evaluation.benchmark.xlsx import read_xlsx
from parrot_adapters.language_tags import TAG, canonical_language

__all__ = ["Predictions", "read_predictions"]

Predictions = dict[str, dict[int, str | None]]
"""Replies by language code and row index; None where the file holds no reply (not the same as no row)."""

FLAGS = re.IGNORECASE | re.ASCII
FIELDS = ("lang", "index", "prediction")


def read_predictions(path: str | Path, benchmark: Benchmark) -> Predictions:
    """Read replies; the file's suffix says its form.

    ``.jsonl``: one object a line with ``lang``, ``index``, ``prediction`` (other keys are ignored). ``.xlsx``,
    ``.tsv``, ``.json``, and ``.jsonl`` without ``lang``: the harness's result file of one language (its name says
    which, as in ``<model>_MMMB_ar.xlsx``) or of all at once (columns ``SUB_DATASET`` and ``original_index``), its
    columns in any case, as the harness takes them.

    Args:
        path: Path of the file of replies.
        benchmark: Benchmark that was asked.

    Raises:
        EvaluationDataError: The file is missing, cannot be read, or says two things about one row.
    """
    path = as_path(path, "path")
    if not path.is_file():
        raise EvaluationDataError(explain("there is no such file of predictions.", given=path))
    suffix = path.suffix.lower()
    if suffix == ".jsonl":
        records = _json_lines(path, benchmark)
    elif suffix in HARNESS:
        records = _harness_records(HARNESS[suffix](path), path, benchmark)
    else:
        raise EvaluationDataError(
            explain(
                f"predictions cannot be read from a {path.suffix or 'nameless'} file.",
                given=path,
                known=", ".join([".jsonl", *HARNESS]),
            )
        )
    return _collected(records, path)


def _collected(records: Iterable[Mapping[str, object]], path: Path) -> Predictions:
    found: Predictions = {}
    twice: list[str] = []
    for record in records:
        language = canonical_language(str(record["lang"]))
        index = _whole(record["index"])
        if index is None:
            raise EvaluationDataError(
                explain("an index is not a whole number.", file=path, given=repr(record["index"]))
            )
        reply = record["prediction"]
        if isinstance(reply, (list, dict)):
            raise EvaluationDataError(
                explain(
                    "a prediction is not text.",
                    file=path,
                    row=f"{language} {index}",
                    given=repr(reply)[:60],
                    to_do="write the reply itself; which part of this is the reply is not for us to guess",
                )
            )
        replies = found.setdefault(language, {})
        if index in replies:
            twice.append(f"{language} {index}")
        replies[index] = None if is_missing(reply) else str(reply)
    if twice:
        raise EvaluationDataError(
            explain(
                f"{len(twice)} rows have more than one prediction.",
                file=path,
                rows=named(twice),
                to_do="keep one line a row; which one counts is not for us to guess",
            )
        )
    if not found:
        raise EvaluationDataError(explain("the file holds no predictions.", file=path))
    return found


def _whole(index: object) -> int | None:
    """The index as a whole number; table programs write 3 as "3" and as 3.0."""
    if isinstance(index, str) and re.fullmatch(r"[0-9]+(\.0*)?", index, re.ASCII):
        return int(index.partition(".")[0])
    if isinstance(index, float) and index.is_integer():
        return int(index)
    return index if isinstance(index, int) and not isinstance(index, bool) else None


def _json_lines(path: Path, benchmark: Benchmark) -> Iterable[Mapping[str, object]]:
    named_language = _language_in_name(path.stem, benchmark)
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise EvaluationDataError(explain("the file is not UTF-8 text.", file=path, byte=error.start)) from None
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise EvaluationDataError(
                explain(f"line {number} is not JSON.", file=path, because=error, starts=repr(line[:60]))
            ) from None
        if not isinstance(record, dict):
            raise EvaluationDataError(explain(f"line {number} is not an object.", file=path, starts=repr(line[:60])))
        if "lang" not in record and (named_language or "SUB_DATASET" in record):
            yield from _harness_records([record], path, benchmark, first=number)
            continue
        absent = [field for field in FIELDS if field not in record]
        if absent:
            raise EvaluationDataError(
                explain(
                    f"line {number} lacks {', '.join(map(repr, absent))}.{suggest(absent[0], map(str, record))}",
                    file=path,
                    given=", ".join(map(str, record)),
                    to_do='write {"lang": "ar", "index": 1, "prediction": "A"}',
                )
            )
        yield record


def _harness_records(
    rows: Iterable[Mapping[str, object]], path: Path, benchmark: Benchmark, *, first: int = 1
) -> Iterable[Mapping[str, object]]:
    named_language = _language_in_name(path.stem, benchmark)
    for number, given in enumerate(rows, start=first):
        row = {str(name).lower(): value for name, value in given.items()}
        if "sub_dataset" in row:
            language, index = benchmark.language(str(row["sub_dataset"])), row.get("original_index")
            if language is None:
                raise EvaluationDataError(
                    explain(
                        f"row {number} is of another benchmark.",
                        file=path,
                        given=row["sub_dataset"],
                        expected=f"{benchmark.subset('ar')} and so on",
                    )
                )
        else:
            language, index = named_language, row.get("index")
        if language is None:
            raise EvaluationDataError(
                explain(
                    "the file does not say which language its rows are in.",
                    file=path,
                    to_do=f"name it <model>_{benchmark.subset('ar')}{path.suffix}, or add a column SUB_DATASET",
                )
            )
        if index is None or "prediction" not in row:
            raise EvaluationDataError(
                explain(f"row {number} lacks an index or a prediction.", file=path, given=", ".join(map(str, given)))
            )
        yield {"lang": language, "index": index, "prediction": row["prediction"]}


def _language_in_name(stem: str, benchmark: Benchmark) -> str | None:
    """The language after the benchmark's name; behind it the harness may write more (``..._MMMB_ar_openai_result``)."""
    found = re.search(rf"{re.escape(benchmark.stem)}_({TAG})(?![a-z0-9-])", stem, FLAGS)
    return canonical_language(found[1]) if found else None


def _tsv_rows(path: Path) -> list[Mapping[str, object]]:
    return [dict(row) for row in read_tsv(path).rows]


def _json_rows(path: Path) -> list[Mapping[str, object]]:
    try:
        rows = json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise EvaluationDataError(explain("the file is not JSON.", file=path, because=error)) from None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise EvaluationDataError(explain("the file is not a list of objects.", file=path))
    return rows


def _xlsx_rows(path: Path) -> list[Mapping[str, object]]:
    return [dict(row) for row in read_xlsx(path)]


HARNESS = {".xlsx": _xlsx_rows, ".tsv": _tsv_rows, ".json": _json_rows}
