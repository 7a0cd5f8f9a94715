"""Skipped samples, each written once to a file of JSON lines with its reason, whichever process skipped it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from parrot_adapters.data.problems import BadSample
from parrot_adapters.errors import DataError, explain
from parrot_adapters.operating_system import hold, release

__all__ = ["Rejects"]


class Rejects:
    """The samples that were skipped.

    Args:
        path: File of JSON lines ``{"source", "number", "identity", "problem", "reason"}``, appended to; several
            processes may share it. None keeps them in this process only.
    """

    def __init__(self, path: str | Path | None = None) -> None:
        self.path = None if path is None else Path(path)
        self._known: dict[tuple[str, int], str] = {}  # (source, number) -> problem
        self._read_to = 0  # bytes of the file that are in _known

    def add(self, problem: BadSample, *, source: str, number: int, identity: str) -> None:
        """Count a sample as skipped; the second time changes nothing.

        Raises:
            DataError: the file cannot be written.
        """
        key = (source, number)
        if key in self._known:
            return
        if self.path is None:
            self._known[key] = problem.kind
            return
        line = {
            "source": source,
            "number": number,
            "identity": identity,
            "problem": problem.kind,
            "reason": problem.reason,
        }
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab+") as file, _alone(file):
                cut_short = self._catch_up(file)
                if key not in self._known:
                    file.write(b"\n" * cut_short + _written(line) + b"\n")
                    self._known[key] = problem.kind
        except OSError as error:
            raise DataError(
                explain(
                    "a skipped sample cannot be written down.", file=self.path, because=error.strerror, sample=identity
                )
            ) from error

    def counts(self) -> dict[str, int]:
        """How many samples were skipped so far, by problem, over all processes that share the file."""
        if self.path is not None and self.path.is_file():
            with self.path.open("rb") as file:
                self._catch_up(file)
        return dict(sorted(Counter(self._known.values()).items()))

    def __len__(self) -> int:
        return sum(self.counts().values())

    def _catch_up(self, file: BinaryIO) -> bool:
        """Take in what others wrote since. Returns whether the file ends inside a line, as after a crash."""
        file.seek(self._read_to)
        new = file.read()
        for line in new.splitlines():
            entry = _entry(line)
            if entry is not None:
                self._known[entry["source"], entry["number"]] = entry["problem"]
        whole = new.rfind(b"\n") + 1
        self._read_to += whole
        return whole < len(new)

    def __getstate__(self) -> dict[str, Any]:  # what each worker process starts from
        return {"path": self.path, "_known": {} if self.path else self._known, "_read_to": 0}


def _written(line: dict[str, Any]) -> bytes:
    """JSON; half a character, which the record may have, is written as the escape that it was."""
    return json.dumps(line, ensure_ascii=False).encode("utf-8", "backslashreplace")


def _entry(line: bytes) -> Any:
    try:
        entry = json.loads(line)
        return entry if {"source", "number", "problem"} <= set(entry) else None
    except (ValueError, TypeError):
        return None


@contextmanager
def _alone(file: BinaryIO) -> Iterator[None]:
    """Hold the file against other processes, where the system can."""
    if not hold(file, wait=True):  # one line is one write, and a double entry does no harm
        yield
        return
    try:
        yield
        file.flush()
    finally:
        release(file)
