"""Download published training files from the Hub, each whole and checked or not there at all."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from parrot_adapters.data.catalogue import PublishedFile
from parrot_adapters.errors import DataError, MissingDependencyError, explain

__all__ = ["Fetched", "fetch"]

ROUNDING = 0.02  # the Hub prints sizes with three digits


@dataclass(frozen=True)
class Fetched:
    """A file that is there.

    Attributes:
        file: which.
        path: where.
        checked: what it was compared with, in words.
        new: downloaded now; False where it lay there already.
    """

    file: PublishedFile
    path: Path
    checked: str
    new: bool


def fetch(
    files: Sequence[PublishedFile], out: Path, progress: Callable[[str], None] = lambda text: None
) -> list[Fetched]:
    """Download files into ``out``.

    Args:
        files: which; those that nobody publishes are refused.
        out: each file lies there under its own name.
        progress: told what is being done.

    Raises:
        DataError: the Hub cannot be reached, a file is not what it declares, or it cannot be written. What is finished
            stays; nothing is left half-written.
        MissingDependencyError: huggingface_hub is not installed.
    """
    gone = [file.name for file in files if file.dataset is None]
    if gone:
        raise DataError(explain(f"nobody publishes {', '.join(gone)}.", to_do="leave them out"))
    declared = {file: _declared(file) for file in files}  # before the first byte: the Hub is there, or it is not
    return [_fetched(file, out, declared[file], progress) for file in files]


def _declared(file: PublishedFile) -> tuple[int, str | None]:
    """Size and SHA-256 as the Hub declares them."""
    hub = _hub()
    try:
        (found,) = hub.HfApi().get_paths_info(str(file.dataset), file.path, repo_type="dataset")
    except Exception as error:  # of the network, the Hub, a name that is gone
        raise DataError(
            explain(
                "the Hub is needed for this, and cannot be asked.",
                file=f"{file.path} of the data set {file.dataset}",
                because=(str(error).strip() or type(error).__name__).splitlines()[0],
                written="nothing",
                to_do="go online (unset HF_HUB_OFFLINE), or download the file elsewhere and copy it here",
            )
        ) from None
    lfs = getattr(found, "lfs", None)
    return int(found.size), getattr(lfs, "sha256", None)


def _fetched(
    file: PublishedFile, out: Path, declared: tuple[int, str | None], progress: Callable[[str], None]
) -> Fetched:
    target = out / Path(file.path).name
    if target.is_file() and target.stat().st_size == declared[0]:
        progress(f"checking {target.name}")
        return Fetched(file, target, _checked(target, file, declared), new=False)
    progress(f"downloading {target.name} ({declared[0] / 1e6:,.1f} MB)")
    try:
        out.mkdir(parents=True, exist_ok=True)
        beside = tempfile.mkdtemp(dir=out, prefix=f".{target.name}.")
    except OSError as error:
        raise DataError(explain("the directory cannot be written.", directory=out, because=error.strerror)) from None
    try:
        whole = _download(file, beside)
        checked = _checked(whole, file, declared)
        os.replace(whole, target)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return Fetched(file, target, checked, new=True)


def _download(file: PublishedFile, directory: str) -> Path:
    try:
        return Path(_hub().hf_hub_download(file.dataset, file.path, repo_type="dataset", local_dir=directory))
    except Exception as error:  # of the network, the Hub, the disk
        raise DataError(
            explain(
                "a file cannot be downloaded.",
                file=f"{file.path} of the data set {file.dataset}",
                because=(str(error).strip() or type(error).__name__).splitlines()[0],
                to_do="give the same command again; files that are finished are kept",
            )
        ) from None


def _checked(path: Path, file: PublishedFile, declared: tuple[int, str | None]) -> str:
    """Compare a file with everything that is known of it."""
    size, sha256 = path.stat().st_size, declared[1]
    if size != declared[0]:
        raise _different(path, file, "size", size, declared[0])
    found = _digests(path, {"sha256": sha256 is not None, "md5": file.md5 is not None})
    words = [f"size {size:,} bytes"]
    for kind, expected in (("md5", file.md5), ("sha256", sha256)):
        if expected is None:
            words.append(f"{kind} unknown")
        elif found[kind] != expected:
            raise _different(path, file, kind, found[kind], expected)
        else:
            words.append(f"{kind} as {'published' if kind == 'md5' else 'the Hub declares'}")
    if file.megabytes is not None and abs(size / 1e6 - file.megabytes) > ROUNDING * file.megabytes:
        words.append(f"once {file.megabytes:,} MB: it was changed since")
    return "; ".join(words)


def _digests(path: Path, wanted: dict[str, bool]) -> dict[str, str]:
    made = {kind: hashlib.new(kind, usedforsecurity=False) for kind, asked in wanted.items() if asked}
    with path.open("rb") as content:
        while made and (block := content.read(1 << 20)):
            for digest in made.values():
                digest.update(block)
    return {kind: digest.hexdigest() for kind, digest in made.items()}


def _different(path: Path, file: PublishedFile, what: str, found: object, expected: object) -> DataError:
    return DataError(
        explain(
            f"a file is not the one that the Hub declares: its {what} differs.",
            file=f"{file.path} of the data set {file.dataset}",
            found=found,
            expected=expected,
            to_do=f"delete {path.name} if it is there, and give the same command again",
        )
    )


def _hub() -> Any:
    try:
        import huggingface_hub
    except ImportError as error:
        raise MissingDependencyError(
            "downloading needs huggingface_hub\n  todo  pip install huggingface_hub"
        ) from error
    return huggingface_hub
