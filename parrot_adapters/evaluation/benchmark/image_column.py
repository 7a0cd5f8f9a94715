"""The ``image`` column: base64 pictures, or the index of the row that has the picture, or a list of these.

References are checked when a file is loaded; a picture is decoded only when it is asked for.
"""

from __future__ import annotations

import ast
import base64
import binascii
from collections.abc import Mapping, Sequence

from parrot_adapters.errors import explain
from parrot_adapters.evaluation.benchmark.errors import EvaluationDataError

__all__ = ["LONGEST_REFERENCE", "check_references", "decode_picture", "is_picture_text", "resolve_pictures"]

LONGEST_REFERENCE = 64
"""An ``image`` cell of at most this many characters names another row; a picture is longer."""


def resolve_pictures(index: str, images: Mapping[str, str]) -> list[str]:
    """The base64 texts of a row's pictures, references followed.

    Args:
        index: the row's index, as text.
        images: every row's ``image`` cell by its index, as text.

    Raises:
        EvaluationDataError: a reference names no row, or leads back to itself.
    """
    cell, path = images[index], [index]
    while len(cell) <= LONGEST_REFERENCE and not _is_list(cell):
        if cell in path:
            raise EvaluationDataError(
                explain("image references go round in a circle.", rows=" -> ".join([*path, cell]))
            )
        if cell not in images:
            raise EvaluationDataError(
                explain(
                    f"row {path[-1]} takes its image from row {cell!r}, which is not there or has none.",
                    rows=" -> ".join([*path, cell]),
                    to_do="add the row, or put the picture in base64",
                )
            )
        path.append(cell)
        cell = images[cell]
    return _listed(cell, path[-1]) if _is_list(cell) else [cell]


def check_references(images: Mapping[str, str]) -> None:
    """Follow every reference once, decoding nothing; all that are wrong are reported together.

    Raises:
        EvaluationDataError: see :func:`resolve_pictures`.
    """
    wrong = []
    for index, cell in images.items():
        if len(cell) <= LONGEST_REFERENCE:
            try:
                resolve_pictures(index, images)
            except EvaluationDataError as error:
                wrong.append(str(error))
    if wrong:
        more = f"\n... and {len(wrong) - 5} more rows" if len(wrong) > 5 else ""
        raise EvaluationDataError("\n".join(dict.fromkeys(wrong[:5])) + more)


def decode_picture(text: str, *, row: object = None) -> bytes:
    """The bytes of one base64 picture.

    Raises:
        EvaluationDataError: it is not base64.
    """
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise EvaluationDataError(
            explain("an image is not valid base64.", row=row, starts=repr(text[:32]), length=len(text), because=error)
        ) from None


def is_picture_text(cell: str) -> bool:
    """False for a cell that should hold base64, or a list of it, and does not; references are not looked at."""
    if len(cell) <= LONGEST_REFERENCE and not _is_list(cell):
        return True
    try:
        for text in _listed(cell, "") if _is_list(cell) else [cell]:
            decode_picture(text)
    except EvaluationDataError:
        return False
    return True


def _is_list(cell: str) -> bool:
    return len(cell) > 1 and cell[0] == "[" and cell[-1] == "]"


def _listed(cell: str, index: str) -> list[str]:
    try:
        parsed = ast.literal_eval(cell)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        parsed = None
    if not isinstance(parsed, Sequence) or isinstance(parsed, str) or not parsed:
        raise EvaluationDataError(explain("an image list cannot be read.", row=index, starts=repr(cell[:60])))
    return [str(item) for item in parsed]
