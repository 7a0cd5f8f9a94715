"""Look through training data before a GPU is rented: languages, lengths, pictures, and everything that is wrong."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from parrot_adapters.atomic_files import as_path
from parrot_adapters.data.dialogue import Dialogue, Video
from parrot_adapters.data.problems import BadSample
from parrot_adapters.data.sample_checks import Looked, SampleChecks
from parrot_adapters.data.samples import IndexedSamples
from parrot_adapters.data.settings import SourceSettings
from parrot_adapters.data.sources.data_files import data_files, is_pattern
from parrot_adapters.data.sources.hub_datasets import is_hub_name
from parrot_adapters.errors import ConfigError, explain

__all__ = ["Finding", "Numbers", "Survey", "survey"]

EXAMPLES = 5
AHEAD = 64  # samples whose pictures are decoded at once

Detect = Callable[[str], str | None]
"""A text -> its BCP-47 tag, or None where unsure."""
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Numbers:
    """What a column of numbers is like."""

    count: int
    least: float
    median: float
    p95: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Numbers | None:
        """Of some values; None of none."""
        if not values:
            return None
        ordered = sorted(values)
        p95 = ordered[min(len(ordered) - 1, round(0.95 * (len(ordered) - 1)))]
        return cls(len(ordered), ordered[0], statistics.median(ordered), p95, ordered[-1])


@dataclass(frozen=True)
class Finding:
    """One sample with a problem."""

    file: str
    number: int
    identity: str
    reason: str


@dataclass
class Survey:
    """What was found.

    Attributes:
        files: each with its format and how that was chosen.
        records: in all files.
        usable: samples without a problem.
        declared: samples by the language they declare; None for those that do not.
        detected: those that do not, by the language a detector found; empty without a detector.
        answers: assistant turns of a sample.
        unit: of ``lengths``: tokens, visual tokens included, or characters.
        lengths: of samples.
        pictures: of a sample, of those with any.
        videos: in all.
        widths, heights: of pictures, in pixels.
        unread: records that have each field that their format does not read and that may change what they mean.
        repeated: samples that share their identity with an earlier one, which is allowed.
        problems: how many samples have each.
        examples: the first of each.
    """

    files: list[tuple[str, str, str]] = field(default_factory=list)
    records: int = 0
    usable: int = 0
    declared: Counter[str | None] = field(default_factory=Counter)
    detected: Counter[str | None] = field(default_factory=Counter)
    answers: Numbers | None = None
    unit: str = "characters"
    lengths: Numbers | None = None
    pictures: Numbers | None = None
    videos: int = 0
    widths: Numbers | None = None
    heights: Numbers | None = None
    unread: Counter[str] = field(default_factory=Counter)
    repeated: int = 0
    problems: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[Finding]] = field(default_factory=dict)

    def add(self, problem: BadSample, source: str, number: int, identity: str) -> None:
        """Count a problem, and keep the first ones."""
        self.problems[problem.kind] += 1
        kept = self.examples.setdefault(problem.kind, [])
        if len(kept) < EXAMPLES:
            kept.append(Finding(source, number, identity, problem.reason))

    def as_json(self) -> dict[str, Any]:
        """Plain data."""

        def plain(numbers: Numbers | None) -> dict[str, float] | None:
            return None if numbers is None else dict(vars(numbers))

        return {
            "files": [{"path": path, "format": form, "because": why} for path, form, why in self.files],
            "records": self.records,
            "usable": self.usable,
            "languages": {str(tag or "unknown"): count for tag, count in self.declared.most_common()},
            "detected": {str(tag or "unknown"): count for tag, count in self.detected.most_common()},
            "answers": plain(self.answers),
            "lengths": {"unit": self.unit, **(plain(self.lengths) or {"count": 0})},
            "pictures": {
                "per_sample": plain(self.pictures),
                "width": plain(self.widths),
                "height": plain(self.heights),
            },
            "videos": self.videos,
            "unread_fields": dict(self.unread.most_common()),
            "repeated_identities": self.repeated,
            "problems": {
                kind: {"count": count, "examples": [vars(found) for found in self.examples[kind]]}
                for kind, count in self.problems.most_common()
            },
        }


def survey(
    settings: SourceSettings,
    *,
    collator: Any = None,
    detect: Detect | None = None,
    headers_only: bool = False,
    strict: bool = False,
    progress: Progress | None = None,
) -> Survey:
    """Look at every sample of a source.

    Args:
        settings: the source; not streamed.
        collator: a :class:`Collator`, for lengths in tokens and for what only the host's template can refuse.
        detect: finds the language of samples that declare none.
        headers_only: do not decode pictures, which misses broken ones.
        strict: a field that no format reads is a problem of its sample.
        progress: called with what is being done, how far, and of how much.

    Raises:
        ConfigError: there is no such file.
        DataError: a file cannot be read at all.
    """
    if (
        not as_path(settings.path, "the path of training data").exists()
        and not is_hub_name(settings.path)
        and not is_pattern(settings.path)
    ):
        raise ConfigError(explain("there is no such file or directory of training data.", given=settings.path))
    found = Survey(unit="characters" if collator is None else "tokens")
    sources = []
    for path in data_files(Path(settings.path)):

        def opening(done: int, total: int, name: str = path.name) -> None:
            if progress is not None:
                progress(f"reading {name}", done, total)

        source = IndexedSamples(path, settings, found.add, limit=settings.limit, progress=opening, strict=strict)
        found.unread.update(source.unread)
        found.files.append((str(path), source.format, source.because))
        sources.append(source)
    _look(found, sources, collator, detect, headers_only, progress)
    return found


def _look(
    found: Survey,
    sources: list[IndexedSamples],
    collator: Any,
    detect: Detect | None,
    headers_only: bool,
    progress: Progress | None,
) -> None:
    total = sum(map(len, sources))
    found.records = total + found.problems.total()
    seen: set[tuple[str, str]] = set()
    columns: dict[str, list[float]] = {name: [] for name in ("answers", "lengths", "pictures", "widths", "heights")}
    checks = SampleChecks(collator, headers_only=headers_only)
    for done, looked in enumerate(_examined(sources, checks), 1):
        dialogue = looked.dialogue
        found.repeated += (dialogue.source, dialogue.identity) in seen
        seen.add((dialogue.source, dialogue.identity))
        found.declared[dialogue.language] += 1
        if dialogue.language is None and detect is not None:
            found.detected[detect(_first_question(dialogue))] += 1
        found.videos += sum(isinstance(part, Video) for turn in dialogue.turns for part in turn.parts)
        columns["answers"].append(sum(turn.role == "assistant" for turn in dialogue.turns))
        if looked.pictures:
            columns["pictures"].append(len(looked.pictures))
        sizes = [size for size in looked.pictures if not isinstance(size, BadSample)]
        columns["heights"] += [height for height, _ in sizes]
        columns["widths"] += [width for _, width in sizes]
        try:
            checks(looked)
            found.usable += 1
        except BadSample as problem:
            found.add(problem, dialogue.source, dialogue.number, dialogue.identity)
        if looked.length:
            columns["lengths"].append(looked.length)
        if progress is not None:
            progress("looking at samples", done, total)
    found.answers, found.lengths = Numbers.of(columns["answers"]), Numbers.of(columns["lengths"])
    found.pictures = Numbers.of(columns["pictures"])
    found.widths, found.heights = Numbers.of(columns["widths"]), Numbers.of(columns["heights"])


def _examined(sources: list[IndexedSamples], checks: SampleChecks) -> Iterator[Looked]:
    """Every sample with its pictures examined, a few at once."""
    with ThreadPoolExecutor() as pool:
        for source in sources:
            for start in range(0, len(source), AHEAD):
                yield from pool.map(checks.look, [source[n] for n in range(start, min(start + AHEAD, len(source)))])


def _first_question(dialogue: Dialogue) -> str:
    asked = next(turn for turn in dialogue.turns if turn.role == "user")
    return "".join(part for part in asked.parts if isinstance(part, str))
