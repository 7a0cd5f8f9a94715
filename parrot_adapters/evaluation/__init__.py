"""Multilingual multiple-choice evaluation: prompts, reading of replies, scores. Knows no model and imports none.

The statistics are in :mod:`parrot_adapters.evaluation.statistics`, which alone needs numpy.
"""

from parrot_adapters.evaluation.benchmarks import BENCHMARKS, Benchmark, benchmark_named
from parrot_adapters.evaluation.choice import REFUSED, ROBUST, extract_choice
from parrot_adapters.evaluation.config import EvaluationConfig
from parrot_adapters.evaluation.errors import EvaluationDataError
from parrot_adapters.evaluation.files import write_json
from parrot_adapters.evaluation.languages import (
    Language,
    add_language,
    canonical_language,
    known_languages,
    load_languages,
)
from parrot_adapters.evaluation.predictions import Predictions, read_predictions
from parrot_adapters.evaluation.prompts import PROMPT_STYLES, build_prompt, question_options
from parrot_adapters.evaluation.protocols import PROTOCOLS, Protocol, protocol_named
from parrot_adapters.evaluation.rows import Row
from parrot_adapters.evaluation.run_score import ScoreReport, means, score_predictions
from parrot_adapters.evaluation.scoring import SubsetScore, score_subset
from parrot_adapters.evaluation.subsets import Subset, find_subsets, load_subset

__all__ = [
    "BENCHMARKS",
    "PROMPT_STYLES",
    "PROTOCOLS",
    "REFUSED",
    "ROBUST",
    "Benchmark",
    "EvaluationConfig",
    "EvaluationDataError",
    "Language",
    "Predictions",
    "Protocol",
    "Row",
    "ScoreReport",
    "Subset",
    "SubsetScore",
    "add_language",
    "benchmark_named",
    "build_prompt",
    "canonical_language",
    "extract_choice",
    "find_subsets",
    "known_languages",
    "load_languages",
    "load_subset",
    "means",
    "protocol_named",
    "question_options",
    "read_predictions",
    "score_predictions",
    "score_subset",
    "write_json",
]
