"""Results read from disk, and checked: every value has its type, and a hit is 0 or 1."""

from __future__ import annotations

import csv
import sys
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from parrot_adapters.atomic_files import as_path
from parrot_adapters.errors import MissingDependencyError, explain
from parrot_adapters.evaluation.benchmark.data_error import EvaluationDataError
from parrot_adapters.evaluation.scores.result import SCHEMA_VERSION, Result

__all__ = ["ReadResult", "read_run"]

SHOWN = 5
"""Faults of a file that are told one by one."""


@dataclass(frozen=True)
class ReadResult:
    """A result, and where it was read.

    Attributes:
        path: Path of the file that was read.
        result: Result that the file holds.
    """

    path: Path
    result: Result

    def rows(self) -> dict[tuple[str, int], dict[str, str]]:
        """Return prompts, choices and replies by subset and row, where the run has them.

        Raises:
            EvaluationDataError: ``rows.csv`` cannot be read.
        """
        path = self.path.parent / "rows.csv"
        if self.path.name != "results.json" or not path.is_file():
            return {}
        before = csv.field_size_limit(sys.maxsize)
        try:
            with path.open(encoding="utf-8", newline="") as file:
                return {(row["subset"], int(row["index"])): row for row in csv.DictReader(file)}
        except (KeyError, TypeError, ValueError, csv.Error, OSError) as error:
            raise EvaluationDataError(explain("a run's rows cannot be read.", file=path, because=error)) from None
        finally:
            csv.field_size_limit(before)


def read_run(path: str | Path) -> ReadResult:
    """Read a run's directory, its ``results.json``, or the output of ``parrot score``.

    Args:
        path: Directory or file.

    Raises:
        EvaluationDataError: There is no result, or a value of it is not what it should be; the message names file and
            place.
    """
    place = as_path(path, "path")
    file = place / "results.json" if place.is_dir() else place
    if not file.is_file():
        raise EvaluationDataError(
            explain("there is no result here.", given=place, to_do="give the --out of a finished parrot evaluate")
        )
    try:
        content = file.read_bytes()
    except OSError as error:
        raise EvaluationDataError(explain("a result cannot be read.", file=file, because=error.strerror)) from None
    result = _checked(content, file)
    if result.schema_version is not None and result.schema_version > SCHEMA_VERSION:
        raise EvaluationDataError(
            explain(
                "this result was written by a newer parrot_adapters.",
                file=file,
                schema_version=result.schema_version,
                known=f"up to {SCHEMA_VERSION}",
                to_do="update parrot_adapters",
            )
        )
    return ReadResult(file, result)


def _checked(content: bytes, file: Path) -> Result:
    schema = _schema()
    from pydantic import ValidationError

    try:
        found: Result = schema.validate_json(content, strict=True)
    except ValidationError as error:
        faults = error.errors(include_url=False)
        told = [_told(fault) for fault in faults[:SHOWN]]
        more = [f"and {len(faults) - SHOWN} more"] if len(faults) > SHOWN else []
        raise EvaluationDataError(
            explain("this is not the result of a run.", file=file, because="; ".join(told + more))
        ) from None
    return found


def _told(fault: Any) -> str:
    place = ".".join(str(part) for part in fault["loc"] if part != "[key]")
    given = repr(fault["input"])
    given = "" if fault["type"] in ("missing", "json_invalid") or len(given) > 60 else f", not {given}"
    return f"{place}: {fault['msg']}{given}" if place else f"{fault['msg']}{given}"


@lru_cache(maxsize=1)
def _schema() -> Any:
    try:
        from pydantic import TypeAdapter
    except ImportError as error:
        raise MissingDependencyError("results are checked with pydantic\n  to do  pip install pydantic") from error
    return TypeAdapter(Result)
