"""Seeing what an adapter does: routing statistics, observers, explanations of single answers, diagnoses.

Nothing here runs unless asked for; a host without observers pays one comparison per pass.
"""

from parrot_adapters.seeing.diagnose import Diagnosis, Sample, diagnose
from parrot_adapters.seeing.explain import Explanation, PromptInputs, explain
from parrot_adapters.seeing.observer import RoutingObserver
from parrot_adapters.seeing.statistics import RoutingStatistics
from parrot_adapters.seeing.tensorboard import TensorBoardObserver
from parrot_adapters.seeing.visual import linear_cka, retrieval
from parrot_adapters.seeing.watching import Pass, watched

__all__ = [
    "Diagnosis",
    "Explanation",
    "Pass",
    "PromptInputs",
    "RoutingObserver",
    "RoutingStatistics",
    "Sample",
    "TensorBoardObserver",
    "diagnose",
    "explain",
    "linear_cka",
    "retrieval",
    "watched",
]
