"""Answers on disk, one line each, appended as they are made: a run that is killed loses the batch in flight at most.

A line is found again by its key, a hash of all that decides the answer; what is not in the key (batch size, device,
protocol, matcher) can change between two runs.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from types import TracebackType

from parrot_adapters.digests import json_digest
from parrot_adapters.errors import explain
from parrot_adapters.evaluation.answers.host_protocol import Answer
from parrot_adapters.evaluation.benchmark.data_error import EvaluationDataError
from parrot_adapters.evaluation.benchmark.questions import Question
from parrot_adapters.operating_system import hold

__all__ = ["AnswerStore", "answer_key"]

FORMAT = 1


def answer_key(question: Question, rendered: str, host: Mapping[str, object], settings: Mapping[str, object]) -> str:
    """Hash everything that decides the answer to a question.

    Args:
        question: the row, its pictures by their hash.
        rendered: the prompt in the host's chat format.
        host: the host's identity.
        settings: how it is asked.
    """
    decides = {
        "format": FORMAT,
        "subset": question.subset,
        "language": question.language,
        "index": question.index,
        "prompt": question.prompt,
        "rendered": rendered,
        "options": question.options,
        "pictures": question.picture_hashes,
        "host": {name: value for name, value in host.items() if name != "name"} | {"adapter": _digest(host)},
        "settings": settings,
    }
    return json_digest(decides)


def _digest(host: Mapping[str, object]) -> object:
    adapter = host.get("adapter")
    return adapter.get("digest") if isinstance(adapter, Mapping) else adapter


class AnswerStore:
    """The file of answers of a run, open for appending by one process; those beside it are read as well.

    Args:
        path: created if needed. A last line cut short by a crash is left where it is and not counted.

    Raises:
        EvaluationDataError: it cannot be written, or another process has it open.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("ab+")
        except OSError as error:
            raise EvaluationDataError(
                explain("answers cannot be written here.", file=self.path, because=error.strerror)
            ) from None
        try:
            if hold(self._file) is False:
                raise EvaluationDataError(
                    explain("another run is writing here.", file=self.path, to_do="wait for it, or give another --out")
                )
            self.found, self.unreadable = _read(self.path)
            self.refresh()
            self._file.seek(0, os.SEEK_END)
            if self._file.tell():
                self._file.seek(-1, os.SEEK_END)
                if self._file.read(1) != b"\n":
                    self._file.write(b"\n")
        except BaseException:
            self._file.close()
            raise

    def add(self, answers: Iterable[Answer]) -> None:
        """Append answers and wait until the disk has them."""
        lines = []
        for answer in answers:
            self.found[answer.key] = answer
            lines.append(json.dumps(asdict(answer), ensure_ascii=False, allow_nan=False) + "\n")
        try:
            self._file.write("".join(lines).encode("utf-8", "backslashreplace"))
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise EvaluationDataError(
                explain(
                    "answers cannot be written; those on disk stay.",
                    file=self.path,
                    because=error.strerror,
                    to_do="make room and give the same command again",
                )
            ) from None

    def refresh(self) -> None:
        """Read what other processes have answered, in the files beside this one."""
        for path in self._others():
            self.found |= _read(path)[0]

    def others_write(self) -> bool:
        """Does a living process have one of the other files open?"""
        return any(_is_locked(path) for path in self._others())

    def _others(self) -> list[Path]:
        return [path for path in sorted(self.path.parent.glob("answers*.jsonl")) if path != self.path]

    def close(self) -> None:
        """Let another process have the file."""
        self._file.close()

    def __enter__(self) -> AnswerStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _read(path: Path) -> tuple[dict[str, Answer], int]:
    found: dict[str, Answer] = {}
    unreadable = 0
    with path.open("rb") as file:
        for line in file:
            try:
                answer = Answer(**json.loads(line))
            except (ValueError, TypeError, RecursionError):
                unreadable += bool(line.strip())
            else:
                found[answer.key] = answer
    return found, unreadable


def _is_locked(path: Path) -> bool:
    with path.open("rb") as file:
        return hold(file) is False
