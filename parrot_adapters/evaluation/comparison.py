"""A name from before results and comparisons were read by one schema; kept for code written then."""

from parrot_adapters.evaluation.scores.compare_results import (
    Comparison,
    Difference,
    ReadResult,
    compare_runs,
    read_run,
)

__all__ = ["Comparison", "Difference", "ReadResult", "compare_runs", "read_run"]
