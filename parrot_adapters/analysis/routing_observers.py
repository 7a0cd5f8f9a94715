"""Statistics of routing, gathered while a host trains or answers; and a line per pass for whoever sets a variable."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from parrot_adapters.core.routing_statistics import RoutingStatistics, Tally

if TYPE_CHECKING:
    from parrot_adapters.core.routing_record import RoutingRecord

__all__ = ["LOG_VARIABLE", "RoutingLogFile", "RoutingObserver"]

LOG_VARIABLE = "PARROT_ROUTING_LOG"


class RoutingObserver:
    """Adds up what it is shown.

    observer = RoutingObserver()
    with handle.add_observer(observer):
        train(...)
    print(observer.statistics().flags())
    """

    def __init__(self) -> None:
        self._tally = Tally()

    def __call__(self, record: RoutingRecord) -> None:
        """Count one pass."""
        self._tally.add(record)

    def statistics(self) -> RoutingStatistics:
        """What was seen since the last :meth:`reset`.

        Raises:
            ConfigError: nothing was.
        """
        return self._tally.statistics()

    def reset(self) -> None:
        """Forget everything, for example after each epoch."""
        self._tally = Tally()


class RoutingLogFile:
    """Appends a JSON line per pass: usage per expert and language, entropy, collapse.

    One is made for every adapter attached while ``PARROT_ROUTING_LOG`` names a file, so that any
    training script can be watched as it is. The file is opened for each line: nothing to close, copies are safe.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.passes = 0

    def __call__(self, record: RoutingRecord) -> None:
        self.passes += 1
        if not len(record.weights):
            return
        seen = RoutingStatistics.of([record])
        line = {"pass": self.passes, "process": os.getpid(), "modality": record.modality, **seen.to_dict()}
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
