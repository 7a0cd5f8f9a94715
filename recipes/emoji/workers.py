"""Work side by side: processes of one thread each, started once, that say how far they are.

One thread each, because that is what small matrices want on a CPU, and because results then depend neither on the
number of cores nor on who else uses them.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from queue import Empty
from types import TracebackType
from typing import Any, Self, TypeVar

import torch

from .compute import quiet

__all__ = ["Workers"]

T = TypeVar("T")
Listen = Callable[..., None]


class Workers:
    """A pool of processes; none if ``count`` is 0, then the work is done here, one job after the other.

    Args:
        count: processes at once.
    """

    def __init__(self, count: int = 0) -> None:
        self.count = count
        self._pool: ProcessPoolExecutor | None = None
        self._manager: Any = None

    def run(self, function: Callable[..., T], jobs: Sequence[tuple[Any, ...]], listen: Listen) -> list[T]:
        """``[function(*job, tell) for job in jobs]``, where ``tell(...)`` calls ``listen(...)`` over here.

        The first job that fails stops all, and its error is raised.
        """
        if self.count == 0:
            return [function(*job, listen) for job in jobs]
        pool, messages = self._start(), self._manager.Queue()
        futures = [pool.submit(_work, function, job, messages) for job in jobs]
        while not all(future.done() for future in futures):
            _forward(messages, listen)
            if failure := next((f.exception() for f in futures if f.done() and f.exception()), None):
                pool.shutdown(wait=False, cancel_futures=True)
                raise failure
        _forward(messages, listen)
        return [future.result() for future in futures]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._manager.shutdown()

    def _start(self) -> ProcessPoolExecutor:
        if self._pool is None:
            context = multiprocessing.get_context("spawn")  # forking a process that has run torch is not safe
            self._manager = context.Manager()
            self._pool = ProcessPoolExecutor(self.count, context, initializer=_prepare)
        return self._pool


def _prepare() -> None:
    torch.set_num_threads(1)
    quiet()


def _work(function: Callable[..., T], job: tuple[Any, ...], messages: Any) -> T:
    return function(*job, lambda *message: messages.put(message))


def _forward(messages: Any, listen: Listen) -> None:
    """Pass on what has arrived; wait a moment for the first message."""
    try:
        listen(*messages.get(timeout=0.2))
        while True:
            listen(*messages.get_nowait())
    except Empty:
        pass
