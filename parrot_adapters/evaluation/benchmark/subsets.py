"""One language's benchmark file, read and checked: rows, answers, options, groups, and what was odd about it."""

from __future__ import annotations

import string
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from parrot_adapters.atomic_files import as_path
from parrot_adapters.digests import file_md5
from parrot_adapters.errors import explain
from parrot_adapters.evaluation.benchmark.benchmarks import Benchmark
from parrot_adapters.evaluation.benchmark.cell_values import Value
from parrot_adapters.evaluation.benchmark.circular import rotated_images, rotated_rows
from parrot_adapters.evaluation.benchmark.data_error import EvaluationDataError
from parrot_adapters.evaluation.benchmark.image_column import (
    check_references,
    decode_picture,
    is_picture_text,
    resolve_pictures,
)
from parrot_adapters.evaluation.benchmark.rows import PASS, Row
from parrot_adapters.evaluation.benchmark.tsv import Table, read_tsv
from parrot_adapters.examples import example_path

__all__ = ["Subset", "find_subsets", "load_subset", "named"]

REQUIRED = ("index", "question", "answer")
KNOWN = {
    *REQUIRED,
    *string.ascii_uppercase,
    "image",
    "image_path",
    "hint",
    "category",
    "l2-category",
    "split",
    "g_index",
}
IGNORED = {"source", "comment", "context"}
"""Columns of the published files that play no part in a score."""


@dataclass(frozen=True)
class Subset:
    """The questions of one language, in the file's order, rows without an image left out."""

    name: str
    """Name of the subset as the files spell it: ``MMMB_cn``."""
    language: str
    """Language code."""
    path: Path
    """Path of the file."""
    md5: str
    """MD5 of the file."""
    columns: tuple[str, ...]
    """Names of the file's columns."""
    rows: tuple[Row, ...]
    """Questions in the file's order."""
    dropped: tuple[int, ...]
    """Indices of rows without an image, which the harness leaves out."""
    images: Mapping[str, str]
    """Cells of the image column by index, as text: base64, or the index of the row that has it."""
    warnings: tuple[str, ...]
    """What a reader should know of the file."""

    def pictures(self, index: int) -> list[bytes]:
        """The encoded pictures (PNG, JPEG, ...) of a row, decoded now.

        Raises:
            EvaluationDataError: the base64 is broken.
        """
        return [decode_picture(text, row=index) for text in resolve_pictures(str(index), self.images)]


def find_subsets(directory: str | Path, benchmark: Benchmark) -> dict[str, Path]:
    """Find the files of a benchmark, by language code; ``MMMB_ar.tsv`` and ``mmmb_ar.tsv`` are both known.

    Args:
        directory: Directory of the files, or ``example:NAME``.
        benchmark: Benchmark whose files are looked for.

    Raises:
        EvaluationDataError: The directory is missing, has none of them, or has two for one language.
    """
    folder = example_path(directory) or as_path(directory, "directory")
    if not folder.is_dir():
        raise EvaluationDataError(explain("there is no such directory of benchmark files.", given=folder))
    found: dict[str, Path] = {}
    for path in sorted(folder.glob("*.tsv")):
        language = benchmark.language(path.stem)
        if language is None:
            continue
        if language in found:
            raise EvaluationDataError(
                explain(f"two files for language {language!r}.", files=f"{found[language]}, {path}", to_do="keep one")
            )
        found[language] = path
    if not found:
        published = "\n".join(f"  {benchmark.published(language)}" for language in benchmark.md5 or ("en",))
        raise EvaluationDataError(
            explain(f"no {benchmark.stem}_<language>.tsv in the directory.", given=folder)
            + f"\nPublished:\n{published}"
        )
    return found


def load_subset(
    path: str | Path, benchmark: Benchmark, language: str | None = None, *, keep_images: bool = True
) -> Subset:
    """Read and check one file.

    Args:
        path: Path of the TSV file.
        benchmark: Benchmark that the file belongs to.
        language: Language of the file, where its name does not say it; None (default) where it does.
        keep_images: Whether the pictures are kept (default: yes); scoring needs only that their references were
            checked.

    Raises:
        EvaluationDataError: The file is missing or cannot be read as a benchmark; the message names columns and rows.
    """
    path = as_path(path, "path")
    language = language or benchmark.language(path.stem)
    if language is None:
        raise EvaluationDataError(
            explain(
                "the file's name does not say its language.", file=path, expected=f"{benchmark.stem}_<language>.tsv"
            )
        )
    name = benchmark.subset(language)
    if not path.is_file():
        raise EvaluationDataError(
            explain("a benchmark file is missing.", file=path, published=benchmark.published(language))
        )
    table, recased = _recased(read_tsv(path), name)
    absent = [column for column in REQUIRED if column not in table.columns]
    if absent:
        raise EvaluationDataError(
            explain(
                f"{name} lacks columns: {', '.join(absent)}.",
                file=path,
                given=", ".join(table.columns),
                to_do="a benchmark file has " + ", ".join(REQUIRED) + ", options A to Z, and image",
            )
        )
    indices = _indices(table, name, path)
    letters = [letter for letter in string.ascii_uppercase if letter in table.columns]
    if not letters:
        raise EvaluationDataError(
            explain(f"{name} has no option columns.", file=path, given=", ".join(table.columns), to_do="add A, B, ...")
        )
    kept = [i for i, cells in enumerate(table.rows) if "image" not in cells or cells["image"] is not None]
    images = {str(indices[i]): str(table.rows[i]["image"]) for i in kept if "image" in table.columns}
    check_references(images)
    broken: list[int] = []
    if not keep_images:
        broken = [int(index) for index, cell in images.items() if not is_picture_text(cell)]
        images = {}
        for cells in table.rows:
            cells.pop("image", None)
    rows = tuple(_row(indices[i], table.rows[i], letters) for i in kept)
    if benchmark.circular and not benchmark.passes_in_file:
        beyond = [row.index for row in rows if row.index >= PASS]
        if beyond:
            raise EvaluationDataError(
                explain(
                    f"{name}: the questions of a circular benchmark are numbered below {PASS:,}.",
                    file=path,
                    rows=named(beyond),
                    to_do="number them otherwise; or declare passes_in_file if these are passes already",
                )
            )
        rows = rotated_rows(rows)
        images = rotated_images(rows, images)
    dropped = tuple(indices[i] for i in range(len(table.rows)) if i not in set(kept))
    return Subset(
        name,
        language,
        path,
        file_md5(path),
        tuple(table.columns),
        rows,
        dropped,
        images,
        (*recased, *_oddities(name, table, indices, rows, dropped, broken)),
    )


def named(indices: Iterable[object], limit: int = 8) -> str:
    """The first few of some indices, and how many more there are."""
    listed = [str(i) for i in indices]
    more = f", ... and {len(listed) - limit} more" if len(listed) > limit else ""
    return ", ".join(listed[:limit]) + more


def _recased(table: Table, subset: str) -> tuple[Table, list[str]]:
    """The table with ``Index`` read as ``index`` and so on, and a note that says so.

    The harness scores such a file in the same way; it alone overlooks a ``Hint``, which is therefore left as it is.
    """
    names = {
        name: name.lower()
        for name in table.columns
        if name not in KNOWN and name.lower() in KNOWN - {"hint"} and name.lower() not in table.columns
    }
    if len(set(names.values())) < len(names) or not names:
        return table, []
    rows: list[dict[str, Value]] = [{names.get(c, c): value for c, value in row.items()} for row in table.rows]
    vanished = [(number, names.get(column, column), spelling) for number, column, spelling in table.vanished]
    note = f"{subset}: columns are read in lower case: {', '.join(names)}"
    return Table([names.get(name, name) for name in table.columns], rows, vanished), [note]


def _indices(table: Table, name: str, path: Path) -> list[int]:
    indices: list[int] = []
    wrong: list[object] = []
    for cells in table.rows:
        value = cells["index"]
        if isinstance(value, float) and value.is_integer():  # "3.0", as a table program may write it
            value = int(value)
        whole = value if isinstance(value, int) and not isinstance(value, bool) else None
        if whole is None:
            wrong.append(value)
        else:
            indices.append(whole)
    if wrong:
        raise EvaluationDataError(
            explain(
                f"{name}: {len(wrong)} rows have no whole number as index.",
                file=path,
                given=named(repr(value)[:40] for value in wrong),
            )
        )
    seen: set[int] = set()
    twice = [i for i in indices if i in seen or seen.add(i)]  # type: ignore[func-returns-value]
    if twice:
        raise EvaluationDataError(
            explain(f"{name}: {len(twice)} indices stand on more than one row.", file=path, rows=named(twice))
        )
    return indices


def _row(index: int, cells: Mapping[str, Value], letters: Sequence[str]) -> Row:
    options = {letter: cells[letter] for letter in letters if cells[letter] is not None}
    answer = cells["answer"]
    return Row(index, None if answer is None else str(answer), options, cells)


def _oddities(
    name: str,
    table: Table,
    indices: Sequence[int],
    rows: Sequence[Row],
    dropped: Sequence[int],
    broken: Sequence[int],
) -> Iterable[str]:
    """What a reader should know about the file; none of it is mended, since the harness does not mend it."""
    unknown = [column for column in table.columns if column not in KNOWN | IGNORED]
    if unknown:
        yield f"{name}: unknown columns are ignored: {named(unknown)}"
    if dropped:
        yield f"{name}: {len(dropped)} rows without an image are left out: {named(dropped)}"
    if broken:
        yield f"{name}: {len(broken)} images are not valid base64; scores do not depend on them: {named(broken)}"
    for kind, columns in (("options", set(string.ascii_uppercase)), ("hints", {"hint"}), ("answers", {"answer"})):
        gone = [(indices[i], spelling) for i, column, spelling in table.vanished if column in columns]
        if gone:
            shown = named(f"{index} ({spelling})" for index, spelling in gone)
            yield f"{name}: {len(gone)} {kind} spelled like a missing value vanish, as in the harness: {shown}"
    bare = [row.index for row in rows if not row.options]
    if bare:
        yield f"{name}: {len(bare)} rows have no options and can never be right: {named(bare)}"
    outside = [row.index for row in rows if row.options and row.answer not in row.options]
    if outside:
        yield f"{name}: {len(outside)} rows have an answer that is none of their options: {named(outside)}"
    if rows and not any(row.answer for row in rows):
        yield f"{name}: no row has an answer, so every score is zero; is this a test split?"
