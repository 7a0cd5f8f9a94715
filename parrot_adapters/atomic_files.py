"""Write files and directories whole or not at all: a reader finds the old content or the new one, never half of one.

Everything is written beside its place, flushed to disk, and then renamed into it; whatever fails before that leaves
nothing behind but what was there. Threads and processes may write the same path at once: the last one stays. What a
killed process left beside a path is removed by the next write to that path on the same machine.
"""

from __future__ import annotations

import errno
import glob
import json
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from parrot_adapters.errors import ConfigError
from parrot_adapters.operating_system import flush, new_file_mode, runs

__all__ = [
    "appearing_directory",
    "appearing_file",
    "as_path",
    "flush_to_disk",
    "working_directory",
    "write_bytes",
    "write_json",
    "write_text",
]


def as_path(value: Any, name: str) -> Path:
    """A caller's argument as a path.

    Args:
        value: Text or path.
        name: Name of the argument, for the message.

    Raises:
        ConfigError: It is neither, or names nothing that a file can be called.
    """
    if not isinstance(value, str | os.PathLike) or not isinstance(os.fspath(value), str):
        raise ConfigError(f"{name} must be a path, as text or a pathlib.Path, not {type(value).__name__}")
    if not os.fspath(value).strip():
        raise ConfigError(f"{name} must be a path, not empty text; the working directory is '.'")
    try:
        os.stat(value)
    except ValueError as error:  # a null byte, half a character
        raise ConfigError(f"{name} is no path: {error} in {os.fspath(value)[:80]!r}") from None
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise ConfigError(f"{name} is longer than a path can be here: {os.fspath(value)[:80]!r}...") from None
    return Path(value)


def write_json(path: str | Path, content: object, *, indent: int | None = 1) -> None:
    """Write a value as JSON with a line end, non-ASCII letters as they are.

    Args:
        path: File to write; its directory is made if needed.
        content: Anything JSON can hold; NaN and infinity raise ValueError.
        indent: Spaces of each level, None for one line.
    """
    write_text(path, json.dumps(content, ensure_ascii=False, indent=indent, allow_nan=False) + "\n")


def write_text(path: str | Path, text: str) -> None:
    """Write text as UTF-8, half a character as its escape (``\\ud800``, which JSON reads); see :func:`write_bytes`.

    Args:
        path: File to write; its directory is made if needed.
        text: Content of the file from now on.
    """
    write_bytes(path, text.encode("utf-8", "backslashreplace"))


def write_bytes(path: str | Path, content: bytes) -> None:
    """Write bytes to a file, whole or not at all.

    Args:
        path: File to write; its directory is made if needed.
        content: Content of the file from now on.

    Raises:
        OSError: The disk is full, the directory cannot be written, or the like; the old file is as it was.
    """
    with appearing_file(path) as beside:
        beside.write_bytes(content)


@contextmanager
def appearing_file(path: str | Path) -> Iterator[Path]:
    """A path to write a file to, for writers that want a path; on leaving the block the file takes its place.

    Args:
        path: File that is to appear; its directory is made if needed.

    Yields:
        A path of the same suffix beside it, where nothing is yet.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = _workplace(path)
    try:
        beside = folder / f"new{path.suffix}"
        yield beside
        beside.chmod(new_file_mode())
        flush(beside)
        os.replace(beside, path)
        flush_to_disk(path.parent, deep=False)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def appearing_directory(
    directory: str | Path, *, existing: Literal["replace", "keep", "refuse"] = "replace"
) -> Iterator[Path]:
    """A directory to write into; on leaving the block it takes its place.

    Args:
        directory: Directory that is to appear; its parent is made if needed.
        existing: What happens to a directory that stands there in the end. ``"replace"``: it goes (a process killed
            between two renames leaves the old one, the new one, or for that moment none). ``"keep"``: it stays, for
            caches that several processes may fill with the same. ``"refuse"``: ``OSError``, unless it is empty.

    Yields:
        An empty directory on the same disk.
    """
    directory = Path(directory)
    directory.parent.mkdir(parents=True, exist_ok=True)
    beside = _workplace(directory)
    new, old = beside / "new", beside / "old"
    new.mkdir()
    try:
        yield new
        flush_to_disk(new)
        if existing == "replace" and directory.exists():
            os.replace(directory, old)
        try:
            os.replace(new, directory)
        except OSError:
            if old.exists():
                os.replace(old, directory)
            if existing != "keep" or not directory.is_dir():
                raise
        flush_to_disk(directory.parent, deep=False)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


@contextmanager
def working_directory(path: str | Path) -> Iterator[Path]:
    """An empty directory beside a path, for writers that put several things in their places themselves.

    Args:
        path: File or directory that is worked on; its parent is there.

    Yields:
        The directory. It is removed on leaving, and what a killed process left beside the path before that.
    """
    beside = _workplace(Path(path))
    try:
        yield beside
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def flush_to_disk(directory: str | Path, *, deep: bool = True) -> None:
    """Have the operating system write a directory's entries to disk before returning.

    Args:
        directory: Directory whose entries are flushed.
        deep: Whether all files and directories below it are flushed too.
    """
    directory = Path(directory)
    below = sorted(directory.rglob("*")) if deep else []
    for path in [*(p for p in below if p.is_file()), *(p for p in below if p.is_dir()), directory]:
        flush(path)


def _workplace(path: Path) -> Path:
    """A new directory beside a path, its name that of the process; those of processes that are gone are removed."""
    mark, machine = f".{path.name[:100]}.writing-", socket.gethostname()[:40]
    for left in path.parent.glob(f"{glob.escape(mark + machine)}-*"):
        owner = left.name.rsplit("-", 2)[1]
        if owner.isdigit() and not runs(int(owner)):
            shutil.rmtree(left, ignore_errors=True)
    return Path(tempfile.mkdtemp(dir=path.parent, prefix=f"{mark}{machine}-{os.getpid()}-"))
