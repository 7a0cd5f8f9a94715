"""Checkpoints that are whole or not there: written beside, flushed to disk, then renamed.

    OUT/checkpoints/step-00000500/      complete, because a rename is all or nothing
    OUT/checkpoints/.step-00001000/     being written; whoever finds one at start removes it

A manifest inside names every file with its size, so that a copy which lost some on its way is not taken for complete.
What the files are is the engine's business.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from parrot_adapters.atomic_files import flush_to_disk

__all__ = ["Checkpoints"]

MANIFEST = "manifest.json"
NAME = re.compile(r"step-(\d{8,})")


class Checkpoints:
    """The checkpoints of a run.

    Args:
        directory: made when the first is written.
        keep: how many of the newest stay.
    """

    def __init__(self, directory: Path, keep: int) -> None:
        self.directory, self.keep = directory, keep

    def steps(self) -> list[int]:
        """Steps of the complete ones, in order."""
        return [step for step, path in self._named() if _is_complete(path)]

    def newest(self) -> int | None:
        """The last complete one's step."""
        return max(self.steps(), default=None)

    def path(self, step: int) -> Path:
        """Where the checkpoint of a step is, or would be."""
        return self.directory / f"step-{step:08d}"

    def pending(self, step: int) -> Path:
        """Where it is while it is written."""
        return self.directory / f".step-{step:08d}"

    def clean(self) -> list[Path]:
        """Remove what was never finished, or lost files since; returns what was removed."""
        pending = [path for path in self.directory.glob(".step-*") if NAME.fullmatch(path.name[1:])]
        broken = [*pending, *(path for _, path in self._named() if not _is_complete(path))]
        for path in broken:
            shutil.rmtree(path)
        return broken

    @contextmanager
    def writing(self, step: int) -> Iterator[Path]:
        """A directory to write into; on leaving it becomes the checkpoint of that step, and old ones go.

        If anything fails it is removed, and the checkpoints that were there are as they were.
        """
        pending = self.pending(step)
        shutil.rmtree(pending, ignore_errors=True)
        pending.mkdir(parents=True)
        try:
            yield pending
            files = (path for path in pending.rglob("*") if path.is_file())
            sizes = {path.relative_to(pending).as_posix(): path.stat().st_size for path in files}
            (pending / MANIFEST).write_text(json.dumps(sizes, indent=2, sort_keys=True) + "\n", encoding="utf-8")
            flush_to_disk(pending)
            shutil.rmtree(self.path(step), ignore_errors=True)  # an incomplete one of that step
            os.replace(pending, self.path(step))
            flush_to_disk(self.directory, deep=False)
        except BaseException:
            shutil.rmtree(pending, ignore_errors=True)
            raise
        for old in self.steps()[: -self.keep]:
            shutil.rmtree(self.path(old), ignore_errors=True)

    def _named(self) -> list[tuple[int, Path]]:
        if not self.directory.is_dir():
            return []
        found = [(match, path) for path in self.directory.iterdir() if (match := NAME.fullmatch(path.name))]
        return sorted((int(match[1]), path) for match, path in found)


def _is_complete(path: Path) -> bool:
    try:
        sizes = json.loads((path / MANIFEST).read_text("utf-8"))
        return all((path / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError, AttributeError):
        return False
