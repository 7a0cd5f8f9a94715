"""Asked to stop: finish the step, save, and say so with the exit code that a shell expects.

SIGTERM (a scheduler's warning) and the first Ctrl-C ask; a second Ctrl-C stops at once. The exit code is 128 plus the
signal's number, 143 or 130, as for any process that a signal ended: the run is not done, so it cannot be 0, and it has
not failed either.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["StopRequest", "stop_requests"]

ASKING = (signal.SIGTERM, signal.SIGINT)


class StopRequest:
    """Attributes:
    signal: number of the signal that asked, or 0.
    """

    def __init__(self) -> None:
        self.signal = 0

    def ask(self, number: int, frame: FrameType | None) -> None:
        """What the signals call."""
        if self.signal == signal.SIGINT == number:
            raise KeyboardInterrupt
        self.signal = number


@contextmanager
def stop_requests() -> Iterator[StopRequest]:
    """Listen inside the block; handlers that were there before are back afterwards.

    Outside the main thread no signal can be caught, and the request never comes.
    """
    request = StopRequest()
    before = {}
    try:
        for number in ASKING:
            before[number] = signal.signal(number, request.ask)
    except ValueError:  # not the main thread
        pass
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
