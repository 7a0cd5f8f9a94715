"""One question of a benchmark file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from parrot_adapters.evaluation.benchmark.cell_values import Value

__all__ = ["PASS", "Row"]

PASS = 1_000_000
"""Pass k of a circular question has the index of the base row plus k times this."""


@dataclass(frozen=True)
class Row:
    """One question in one language."""

    index: int
    """Index of the row in its file; circular passes have their own."""
    answer: str | None
    """Letter of the right option; None where the file does not say it."""
    options: Mapping[str, Value]
    """Texts of the options by letter."""
    cells: Mapping[str, Value]
    """Every cell by column, as :func:`~parrot_adapters.evaluation.build_prompt` takes it."""

    @property
    def question_id(self) -> int:
        """The index of the question, the same in every circular pass and in every language."""
        return self.index % PASS

    def label(self, column: str) -> str | None:
        """The row's ``category``, ``l2-category`` or ``split``, or None."""
        value = self.cells.get(column)
        return None if value is None else str(value)
