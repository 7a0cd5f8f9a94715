"""The ``image`` column: base64 pictures, or the index of the row that has the picture, or a list of these.

References are checked when a file is loaded; a picture is decoded only when it is asked for.
"""

from __future__ import annotations

import ast
import base64
import binascii
import io
import warnings
from collections.abc import Mapping

from parrot_adapters.errors import explain
from parrot_adapters.evaluation.benchmark.data_error import EvaluationDataError

__all__ = ["LONGEST_REFERENCE", "check_references", "decode_picture", "is_picture_text", "resolve_pictures"]

LONGEST_REFERENCE = 64
"""An ``image`` cell of at most this many characters names another row; a picture is longer."""
LONGEST_CHAIN = 16
"""So many rows may name each other's picture in a row; the published files do it once."""


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
        if len(path) > LONGEST_CHAIN:
            raise EvaluationDataError(
                explain(
                    f"more than {LONGEST_CHAIN} rows name each other's image in a row.",
                    rows=" -> ".join([*path[:4], "..."]),
                    to_do="name the row that has the picture",
                )
            )
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
        EvaluationDataError: it is not base64, or its picture is larger than Pillow's limit.
    """
    try:
        picture = base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise EvaluationDataError(
            explain("an image is not valid base64.", row=row, starts=repr(text[:32]), length=len(text), because=error)
        ) from None
    _check_pixels(picture, row)
    return picture


def _check_pixels(picture: bytes, row: object) -> None:
    """Refuse what unpacks to gigabytes, by the size its header tells; what Pillow cannot open is told when it is shown.

    The limit is Pillow's own, ``PIL.Image.MAX_IMAGE_PIXELS``, as for training data.
    """
    try:
        from PIL import Image
    except ImportError:  # scoring shows no picture
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # of a limit that is checked below
        try:
            with Image.open(io.BytesIO(picture)) as opened:
                width, height = opened.size
        except Image.DecompressionBombError as error:
            raise EvaluationDataError(explain("a picture is too large.", row=row, because=error)) from None
        except Exception:  # whatever a decoder says of a damaged header
            return
    limit = Image.MAX_IMAGE_PIXELS
    if limit is not None and width * height > limit:
        raise EvaluationDataError(
            explain(
                "a picture is too large.",
                row=row,
                given=f"{width:,} x {height:,} pixels",
                limit=f"{limit:,} pixels (PIL.Image.MAX_IMAGE_PIXELS)",
                to_do="make it smaller, or raise the limit",
            )
        )


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
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        parsed = None
    if not isinstance(parsed, list) or not parsed or not all(isinstance(item, str) for item in parsed):
        raise EvaluationDataError(explain("an image list cannot be read.", row=index, starts=repr(cell[:60])))
    return parsed
