"""One source of a mixture: a file whose good samples are known by number and read when they are wanted."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from pathlib import Path
from sys import intern
from typing import Any

from parrot_adapters.data.dialogue import Dialogue
from parrot_adapters.data.dialogue_rules import check_turns
from parrot_adapters.data.format_base import DataFormat, Files
from parrot_adapters.data.format_choice import choose_among, choose_format
from parrot_adapters.data.hf_datasets import HubRecords, read_by_datasets
from parrot_adapters.data.problems import BadSample
from parrot_adapters.data.records import Records
from parrot_adapters.errors import DataError, explain
from parrot_adapters.training.training_config import SourceSettings

__all__ = ["Reader", "Source"]

OnBad = Callable[[BadSample, str, int, str], None]
"""Told of a bad sample: the problem, its source, number and identity. Raises where nothing may be skipped."""


class Reader:
    """Turns records into dialogues: the format, and what the settings add to it.

    Args:
        name: the source, as messages and rejects call it.
        settings: its settings.
        form: the format of its records.
        folder: what relative paths of pictures are relative to.
    """

    def __init__(self, name: str, settings: SourceSettings, form: DataFormat, folder: Path) -> None:
        self.name, self.form = name, form
        self._language, self._files = settings.language, Files(folder)

    def identity(self, record: Any, number: int) -> str:
        """The record's own id, or ``FILE:NUMBER``."""
        try:
            own = None if record is None else self.form.identity(record)
        except Exception:  # of a format that expects another kind of record; the problem itself is reported elsewhere
            own = None
        return own or f"{Path(self.name).name}:{number}"

    def dialogue(self, record: Any, number: int) -> Dialogue:
        """A checked dialogue.

        Raises:
            BadSample: the record makes none.
        """
        turns = self.form.turns(record, self._files)
        check_turns(turns)
        language = self.form.language(record) or self._language
        return Dialogue(self.identity(record, number), self.name, language, turns, number)


class Source:
    """The good samples of one file.

    Args:
        path: the file, or a name of the Hub.
        settings: of the source it belongs to.
        on_bad: told of each bad sample, in order.
        limit: most samples to take; None for all.
        progress: called with (done, total) now and then.

    Attributes:
        format: name of the format.
        because: how the format was chosen, in words.
        languages: one tag or None for each good sample.

    Raises:
        DataError: the file cannot be read, or ``on_bad`` says so.
    """

    def __init__(
        self,
        path: Path,
        settings: SourceSettings,
        on_bad: OnBad,
        *,
        limit: int | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        self.path, self.settings = path, settings
        if read_by_datasets(str(path)):
            opened = choose_among(HubRecords(str(path)), path, settings.format)
        else:
            opened = choose_format(path, settings.format)
        self.format, form, self._records, self.because = opened
        folder = Path(settings.images) if settings.images else path.parent
        self.reader = Reader(str(path), settings, form, folder)
        self._numbers = array("Q")
        self.languages: list[str | None] = []
        self._find_good(on_bad, limit, progress)

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, position: int) -> Dialogue:
        number = self._numbers[position]
        try:
            return self.reader.dialogue(self._records[number], number)
        except BadSample as problem:  # it was good when the file was opened
            raise DataError(
                explain(
                    f"a file changed while it was read: {problem.reason}", file=self.path, sample=f"number {number}"
                )
            ) from None

    def _find_good(self, on_bad: OnBad, limit: int | None, progress: Callable[[int, int], None] | None) -> None:
        total = len(self._records)
        for number in range(total):
            if limit is not None and len(self._numbers) >= limit:
                break
            dialogue = read_or_tell(self.reader, self._records, number, on_bad)
            if dialogue is not None:
                self._numbers.append(number)
                self.languages.append(intern(dialogue.language) if dialogue.language else None)
            if progress is not None and (number % 256 == 255 or number == total - 1):
                progress(number + 1, total)


def read_or_tell(reader: Reader, records: Records, number: int, on_bad: OnBad) -> Dialogue | None:
    """A record as a dialogue, or None after ``on_bad`` was told why not."""
    record = None
    try:
        record = records[number]
        return reader.dialogue(record, number)
    except BadSample as problem:
        on_bad(problem, reader.name, number, reader.identity(record, number))
        return None
