"""Several processes on one run (``accelerate launch -m parrot_adapters evaluate ...``), with no more between them
than files.

Each process answers the questions whose key falls to it and appends to a file of its own; the first one waits until
the others' answers are there, and scores. So the number of processes can change between two runs, and nothing times
out.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import NamedTuple

from parrot_adapters.errors import ConfigError, explain
from parrot_adapters.evaluation.answers.store import AnswerStore
from parrot_adapters.evaluation.benchmark.data_error import EvaluationDataError

__all__ = ["Process", "this_process", "wait_for_others"]

PATIENCE = 120.0
"""Seconds without a new answer, and with nobody writing, after which the others count as dead."""
PAUSE = 0.5


class Process(NamedTuple):
    """Which of how many processes this is."""

    rank: int
    total: int

    @property
    def file(self) -> str:
        """The name of its file of answers."""
        return "answers.jsonl" if self.rank == 0 else f"answers-{self.rank}.jsonl"

    def owns(self, key: str) -> bool:
        """Is the question with this key for this process? Does not depend on what is already answered."""
        return int(key[:12], 16) % self.total == self.rank


def this_process() -> Process:
    """Read off the variables that accelerate and torchrun set.

    Raises:
        ConfigError: they make no sense.
    """
    rank, count = os.environ.get("RANK", "0"), os.environ.get("WORLD_SIZE", "1")
    if not (rank.isdigit() and count.isdigit() and int(rank) < int(count)):
        raise ConfigError(explain("the variables RANK and WORLD_SIZE make no sense.", RANK=rank, WORLD_SIZE=count))
    return Process(int(rank), int(count))


def wait_for_others(store: AnswerStore, keys: Sequence[str], patience: float | None = None) -> None:
    """Wait until every question has an answer in some process's file.

    Raises:
        EvaluationDataError: the others ended, and answers are missing.
    """
    patience = PATIENCE if patience is None else patience
    missing, since = len(keys) + 1, time.monotonic()
    while True:
        store.refresh()
        left = sum(key not in store.found for key in keys)
        if not left:
            return
        if left < missing or store.others_write():
            missing, since = left, time.monotonic()
        if time.monotonic() - since > patience:
            raise EvaluationDataError(
                explain(
                    f"another process ended before it was done: {left} answers are missing.",
                    directory=store.path.parent,
                    to_do="give the same command again; answers so far stay",
                )
            )
        time.sleep(min(PAUSE, patience / 4))
