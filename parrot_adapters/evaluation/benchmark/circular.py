"""Circular passes made here: each question asked once for every option, so that a favoured letter earns nothing.

Pass k shows the option of letter i + k at letter i (CircularEval of MMBench, arXiv 2307.06281). It has the index of its
base row plus k times a million, as the passes in MMBench's own files do, and shares the base row's picture.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from parrot_adapters.evaluation.benchmark.rows import PASS, Row

__all__ = ["rotated_images", "rotated_rows"]


def rotated_rows(rows: Sequence[Row]) -> tuple[Row, ...]:
    """Every row, followed later by its other passes: all first passes, all second ones, and so on."""
    most = max((len(row.options) for row in rows), default=0)
    return tuple(_turned(row, k) for k in range(most) for row in rows if k == 0 or k < len(row.options))


def rotated_images(rows: Sequence[Row], images: Mapping[str, str]) -> dict[str, str]:
    """The ``image`` cells of all passes: every later pass names its base row.

    Args:
        rows: all passes, as :func:`rotated_rows` made them.
        images: the cells of the base rows, by index as text.
    """
    return dict(images) | {
        str(row.index): str(row.question_id) for row in rows if row.index >= PASS and str(row.question_id) in images
    }


def _turned(row: Row, k: int) -> Row:
    if k == 0:
        return row
    letters = list(row.options)
    shown = {letter: row.options[letters[(i + k) % len(letters)]] for i, letter in enumerate(letters)}
    answer = row.answer
    if answer is not None and answer in row.options:
        answer = letters[(letters.index(answer) - k) % len(letters)]
    index = row.index + k * PASS
    return replace(
        row, index=index, answer=answer, options=shown, cells={**row.cells, **shown, "index": index, "answer": answer}
    )
