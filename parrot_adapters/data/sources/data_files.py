"""Which files a source's path names: one, all of a directory, or those of a pattern.

train.json    shards/    shards/{000..127}.tar    {en,tr}/*.tar
"""

from __future__ import annotations

import glob
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from parrot_adapters.atomic_files import as_path
from parrot_adapters.data.sources.hub_datasets import read_by_datasets
from parrot_adapters.data.sources.open_source import known_suffixes, refuse_devices
from parrot_adapters.errors import DataError, explain

__all__ = ["data_files", "is_pattern"]

BRACES = re.compile(r"\{([^{}]*)\}")
RANGE = re.compile(r"(\d+)\.\.(\d+)")
MOST = 100_000  # files of a pattern


def is_pattern(path: str) -> bool:
    """Whether a path that is no file stands for several."""
    return not Path(path).exists() and (glob.has_magic(path) or _choices(path) is not None)


def data_files(path: str | Path) -> Iterator[Path]:
    """The file (or data set of the Hub) itself, the data files of a directory, or those that a pattern names.

    Files of braces come in their own order, others by name; a directory's own directories are not looked into.

    Raises:
        DataError: nothing is there, or one of the files that braces name is not.
    """
    path = as_path(path, "the path of training data")
    if path.is_file() or read_by_datasets(str(path)):
        yield path
        return
    if is_pattern(str(path)):
        yield from _matching(str(path))
        return
    refuse_devices(str(path))
    if not path.is_dir():
        raise DataError(explain("there is no such file or directory of training data.", given=path))
    suffixes = known_suffixes()
    found = sorted(file for file in path.iterdir() if file.suffix.lower() in suffixes and file.is_file())
    if not found:
        raise DataError(explain("the directory holds no training data.", given=path, looked_for=", ".join(suffixes)))
    yield from found


def _matching(pattern: str) -> list[Path]:
    """All of them, so that one that is missing is said before the first is read."""
    matching: list[Path] = []
    named = list(islice(_expanded(pattern), MOST + 1))
    if len(named) > MOST:
        raise DataError(explain(f"the pattern stands for more than {MOST:,} files.", given=pattern))
    for name in named:
        if not glob.has_magic(name) or Path(name).exists():
            if not Path(name).is_file():
                raise DataError(explain("a file that the pattern names is not there.", given=pattern, missing=name))
            matching.append(Path(name))
            continue
        found = sorted(Path(file) for file in glob.glob(name, recursive=True) if Path(file).is_file())
        if not found:
            raise DataError(explain("no file matches the pattern.", given=name))
        matching += found
    return matching


def _expanded(pattern: str) -> Iterator[str]:
    """Without braces, as a shell expands them; braces that hold no choice stay."""
    found = _choices(pattern)
    if found is None:
        yield pattern
        return
    begin, end, choices = found
    for choice in choices:
        yield from _expanded(pattern[:begin] + choice + pattern[end:])


def _choices(pattern: str) -> tuple[int, int, Iterator[str]] | None:
    """The first innermost braces that hold a choice, and what it is between."""
    for braces in BRACES.finditer(pattern):
        inside = braces[1]
        if (numbers := RANGE.fullmatch(inside)) is not None:
            return braces.start(), braces.end(), _numbers(numbers[1], numbers[2])
        if "," in inside:
            return braces.start(), braces.end(), iter(inside.split(","))
    return None


def _numbers(first: str, last: str) -> Iterator[str]:
    width = max(len(first), len(last)) if "0" in (first[0], last[0]) and max(len(first), len(last)) > 1 else 0
    step = 1 if int(first) <= int(last) else -1
    return (str(number).zfill(width) for number in range(int(first), int(last) + step, step))
