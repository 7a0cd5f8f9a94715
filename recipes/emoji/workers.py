"""Arms side by side: each in a fresh process on one thread, its progress shown here."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from queue import Empty
from typing import TYPE_CHECKING

import torch

from .arms import ArmResult, Setting, run_arm

if TYPE_CHECKING:
    from queue import Queue

    from .presets import Arm

__all__ = ["run_arms"]

REPORT_EVERY = 10  # steps
Progress = Callable[[str, str, int, int], None]  # (arm, what is being done, done, in all)
Job = tuple["Arm | None", "Path | None"]


def run_arms(setting: Setting, jobs: Sequence[Job], workers: int, progress: Progress) -> list[ArmResult]:
    """Run arms, at most ``workers`` at once; 0 runs them here, one after the other."""
    if workers == 0:
        return [run_arm(setting, arm, path, _reporter(progress, arm)) for arm, path in jobs]
    context = multiprocessing.get_context("spawn")  # forking a process that has run torch is not safe
    with context.Manager() as manager, ProcessPoolExecutor(workers, context, initializer=_start_worker) as pool:
        messages = manager.Queue()
        futures = [pool.submit(_work, setting, arm, path, messages) for arm, path in jobs]
        while not all(future.done() for future in futures):
            _forward(messages, progress)
            if failure := next((f.exception() for f in futures if f.done() and f.exception()), None):
                pool.shutdown(wait=False, cancel_futures=True)
                raise failure
        _forward(messages, progress)
        return [future.result() for future in futures]


def _start_worker() -> None:
    from .quickstart import _quiet

    torch.set_num_threads(1)
    _quiet()


def _work(
    setting: Setting, arm: Arm | None, path: Path | None, messages: Queue[tuple[str, str, int, int]]
) -> ArmResult:
    return run_arm(setting, arm, path, _reporter(lambda *message: messages.put(message), arm))


def _reporter(progress: Progress, arm: Arm | None) -> Callable[[str, int, int], None]:
    key = "stage-1" if arm is None else arm.key

    def report(what: str, done: int, total: int) -> None:
        if done % REPORT_EVERY == 0 or total < REPORT_EVERY or done == total:
            progress(key, what, done, total)

    return report


def _forward(messages: Queue[tuple[str, str, int, int]], progress: Progress) -> None:
    """Show what has arrived; wait a moment for the first message."""
    try:
        progress(*messages.get(timeout=0.2))
        while True:
            progress(*messages.get_nowait())
    except Empty:
        pass
