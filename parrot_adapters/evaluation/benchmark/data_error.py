"""The one error of this package: something is wrong with the files that were given."""

from __future__ import annotations

from parrot_adapters.errors import ParrotError

__all__ = ["EvaluationDataError"]


class EvaluationDataError(ParrotError, ValueError):
    """A benchmark file, a prediction file or a row of one cannot be used; the message names the rows."""
