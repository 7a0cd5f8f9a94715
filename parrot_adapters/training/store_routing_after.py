"""What a finished run adds to its adapter: how it routes each language on average (``routing.json``).

The sums that a run logs are of weights it had on the way, so the mean is measured anew with the finished ones, on the
first samples of the data's first epoch. Which those are depends on the data and the seed alone, so a run that was
interrupted writes the same file. What is measured costs forward passes only: at most :data:`EACH` of each language.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parrot_adapters.adapter.language_routing import write_language_routing
from parrot_adapters.errors import ParrotWarning, explain

if TYPE_CHECKING:
    from parrot_adapters.adapter.handle import Attachment
    from parrot_adapters.training.micro_batches import TrainingData

__all__ = ["keep_routing", "samples_to_measure"]

EACH = 64
"""Most samples of a language."""
AT_A_TIME = 16  # samples in what an epoch is cut into to be looked through
READ = 2048
"""Samples among which they are looked for."""


def keep_routing(
    handle: Attachment, data: TrainingData, collator: Callable[[list[Any]], dict[str, Any]], adapter: Path
) -> bool:
    """Measure and store it, where there is something to tell. Never fails: a run that is done stays done.

    Nothing is stored for an adapter with one expert or none, for a router that goes by languages alone (it is asked
    itself), and without samples that say their language.

    Args:
        handle: with the finished weights, whole on one device.
        data: that was trained on.
        collator: samples -> the host's arguments and their languages.
        adapter: the directory it was saved to.

    Returns:
        whether something was stored.
    """
    from parrot_adapters.analysis.measure_routing import measure_samples

    module = handle.module
    if module is None or module.num_experts < 2 or hasattr(module.router, "language_weights"):
        return False
    try:
        statistics = measure_samples(handle, (data[i] for i in samples_to_measure(data)), collator)
        if statistics is None or not any(statistics.by_language):
            return False
        write_language_routing(adapter, statistics)
        return True
    except Exception as error:  # of data, of a host, of a disk: the adapter is saved all the same
        warnings.warn(
            explain(
                f"the run is done, but how its adapter routes each language was not stored in {adapter}.",
                because=(str(error).strip() or type(error).__name__).splitlines()[0],
                to_do="parrot measure-routing, if you want to freeze its routing by language",
            ),
            ParrotWarning,
            stacklevel=2,
        )
        return False


def samples_to_measure(data: TrainingData, *, each: int = EACH, read: int = READ) -> list[Any]:
    """What ``data[...]`` takes, for the first samples of every language that says so, in the first epoch's order.

    Args:
        data: samples with an attribute ``language``.
        each: most of a language.
        read: samples that are looked at.
    """
    chosen: list[Any] = []
    found: Counter[str] = Counter()
    seen = 0
    for batch in data.batches(AT_A_TIME, 0):
        for index in batch:
            if seen == read:
                return chosen
            seen += 1
            language = getattr(data[index], "language", None)
            if language is not None and found[language] < each:
                found[language] += 1
                chosen.append(index)
    return chosen
