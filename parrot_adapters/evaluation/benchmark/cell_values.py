"""What a table cell can be, and which spellings the field's harness takes for "no value"."""

from __future__ import annotations

import math

__all__ = ["NOT_A_VALUE", "Value", "is_missing", "reads_as_missing"]

Value = str | int | float | bool | None
"""A cell: text, or the number or truth value that a column made of nothing else is read as; None is no value."""

NOT_A_VALUE = frozenset(
    [
        *("", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN"),
        *("<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"),
    ]
)
"""Cells that pandas reads as "no value" by default (``pandas.read_csv``, argument ``na_values``), exact spellings."""


def is_missing(value: object) -> bool:
    """True for None and for NaN."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def reads_as_missing(value: object) -> bool:
    """True where the harness, reading this cell from a file, would see no value."""
    return is_missing(value) or (isinstance(value, str) and value in NOT_A_VALUE)
