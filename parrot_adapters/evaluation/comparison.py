"""Two runs side by side, under one public name."""

from parrot_adapters.evaluation.scores.compare_results import (
    Comparison,
    Difference,
    ReadResult,
    compare_runs,
    read_run,
)

__all__ = ["Comparison", "Difference", "ReadResult", "compare_runs", "read_run"]
