"""From records to samples: a source's good samples, as dialogues, by number or as they come."""

from __future__ import annotations

import warnings
from array import array
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from sys import intern
from typing import Any

from parrot_adapters.atomic_files import as_path
from parrot_adapters.data.dialogue import Dialogue
from parrot_adapters.data.dialogue_rules import check_turns, until_last_learned
from parrot_adapters.data.formats.recognise import Chosen, choose_format, format_named
from parrot_adapters.data.formats.record_files import Files
from parrot_adapters.data.problems import BadSample
from parrot_adapters.data.settings import SourceSettings
from parrot_adapters.data.sources.hub_datasets import cache_folders, is_hub_name
from parrot_adapters.data.sources.open_source import open_source
from parrot_adapters.data.sources.source import Source
from parrot_adapters.errors import DataError, ParrotError, ParrotWarning, PluginError, explain, first_line
from parrot_adapters.language_tags import canonical_language

__all__ = ["IndexedSamples", "OnBad", "SampleReader"]

LOOKED_AT = 20  # records, for one that shows the format

OnBad = Callable[[BadSample, str, int, str], None]
"""Told of a bad sample: the problem, its source, number and identity. Raises where nothing may be skipped."""


class SampleReader:
    """Turns the records of one source into dialogues. Its format is settled by the first record that can be read.

    Args:
        name: of the source: its path, as messages and rejects call it.
        settings: of the source.
        strict: a field that the format does not read makes a bad sample; else it is warned of and counted.

    Attributes:
        unread: records that have each field that the format does not read.

    Raises:
        UnknownNameError: the format that was asked for is not registered.
        DataError: there is no such folder of pictures.
    """

    def __init__(self, name: str, settings: SourceSettings, *, strict: bool = False) -> None:
        self.name, self._settings, self._strict = name, settings, strict
        folder = as_path(settings.images, "data.sources.images") if settings.images else Path(name).parent
        if settings.images and not folder.is_dir():
            raise DataError(
                explain("there is no such folder of pictures.", given=settings.images, asked_by="data.sources.images")
            )
        self._files = Files(folder, settings.allow_outside, cache_folders() if is_hub_name(name) else ())
        self.unread: Counter[str] = Counter()
        self._chosen: Chosen | None = None
        if settings.format != "auto":
            format_named(settings.format)

    def settle(self, record: Any) -> Chosen:
        """The format of the source, by a record of it.

        Raises:
            DataError: no format recognises it.
        """
        if self._chosen is None:
            self._chosen = choose_format(record, self._settings.format, self.name)
        return self._chosen

    def read(self, number: int, record: Any, on_bad: OnBad) -> Dialogue | None:
        """A record as a checked dialogue; None after ``on_bad`` was told why it makes none.

        Args:
            number: of the record.
            record: as its source gives it; a :class:`BadSample` where it cannot be read.
            on_bad: told of a record that makes none.

        Raises:
            DataError: no format recognises the first record; or ``on_bad`` says so.
            PluginError: the format fails.
        """
        try:
            return self.dialogue(number, record)
        except BadSample as problem:
            on_bad(problem, self.name, number, self._identity(number, record))
            return None

    def dialogue(self, number: int, record: Any) -> Dialogue:
        """As :meth:`read`, but raises the :class:`BadSample`."""
        if isinstance(record, BadSample):
            raise record
        chosen = self.settle(record)
        try:
            turns = chosen.format.turns(record, self._files)
            said = chosen.format.language(record) or self._settings.language
            unread = set(chosen.format.unread(record))
        except (BadSample, ParrotError):
            raise
        except Exception as error:  # a plugin's code, whatever it raises
            raise PluginError(
                explain(
                    f"the data format {chosen.name!r} fails on a record.",
                    source=self.name,
                    sample=f"number {number}",
                    because=f"{type(error).__name__}: {first_line(error)}",
                )
            ) from error
        check_turns(turns)
        self.unread.update(unread)
        if unread and self._strict:
            raise BadSample("unread-field", f"{', '.join(sorted(unread))}: the format {chosen.name!r} does not read it")
        language = canonical_language(said) if said else None
        return Dialogue(self._identity(number, record), self.name, language, until_last_learned(turns), number)

    def warn_of_unread(self) -> None:
        """Name the fields that were not read, with counts, if there are any."""
        if self.unread and not self._strict and self._chosen is not None:
            counted = ", ".join(f"{field} (in {count:,})" for field, count in self.unread.most_common())
            text = f"{self.name}: fields that the format {self._chosen.name!r} does not read: {counted}"
            warnings.warn(f"{text}. If they matter, the run learns something else", ParrotWarning, stacklevel=2)

    def _identity(self, number: int, record: Any) -> str:
        """The record's own id, or ``FILE:NUMBER``."""
        own = None
        if self._chosen is not None and not isinstance(record, BadSample):
            try:
                own = self._chosen.format.identity(record)
            except Exception:  # of a format that expects another kind of record; the problem itself is reported
                own = None
        return own or f"{Path(self.name).name}:{number}"


class IndexedSamples:
    """The good samples of a source that knows its length, by number.

    Args:
        path: a file, or a name of the Hub.
        settings: of the source it belongs to.
        on_bad: told of each bad sample, in order.
        limit: most samples to take; None for all.
        progress: called with (done, total) now and then.
        strict: a field that the format does not read makes a bad sample; else it is counted.

    Attributes:
        format: name of the format.
        because: how the format was chosen, in words.
        languages: one tag or None for each good sample.
        unread: records that have each field that the format does not read.

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
        strict: bool = False,
    ) -> None:
        self.path, self.settings = path, settings
        self._reader = SampleReader(str(path), settings, strict=strict)
        self._records: Any = open_source(str(path), streaming=False)
        self._total = _length(self._records, path)
        self.format, _, self.because = self._reader.settle(self._first_record())
        self._numbers = array("Q")
        self.languages: list[str | None] = []
        self._find_good(on_bad, limit, progress)
        self.unread = Counter(self._reader.unread)
        self.warn_of_unread = self._reader.warn_of_unread

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, position: int) -> Dialogue:
        number = self._numbers[position]
        try:
            return self._reader.dialogue(number, self._records[number])
        except BadSample as problem:  # it was good when the file was opened
            raise DataError(
                explain(
                    f"a file changed while it was read: {problem.reason}", file=self.path, sample=f"number {number}"
                )
            ) from None

    def _record(self, number: int) -> Any:
        try:
            return self._records[number]
        except BadSample as problem:
            return problem

    def _first_record(self) -> Any:
        """The first record that can be read, or None."""
        looked_at = map(self._record, range(min(self._total, LOOKED_AT)))
        return next((record for record in looked_at if not isinstance(record, BadSample)), None)

    def _find_good(self, on_bad: OnBad, limit: int | None, progress: Callable[[int, int], None] | None) -> None:
        for number, record in self._records:
            if limit is not None and len(self._numbers) >= limit:
                break
            dialogue = self._reader.read(number, record, on_bad)
            if dialogue is not None:
                self._numbers.append(number)
                self.languages.append(intern(dialogue.language) if dialogue.language else None)
            if progress is not None and (number % 256 == 255 or number == self._total - 1):
                progress(number + 1, self._total)


def _length(source: Source, path: Path) -> int:
    if source.length is None:
        raise DataError(
            explain(
                "the file can only be read from beginning to end, so it has no index.",
                file=path,
                to_do="stream it (data.sources.streaming: true)",
            )
        )
    if not source.length:
        raise DataError(explain("the file holds no records.", file=path))
    return source.length
