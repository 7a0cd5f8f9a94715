"""Two fresh processes that are one job over gloo, started in a fraction of a second each.

They are forked from a server that has imported the libraries and nothing else has happened in, so that each is as fresh
as one that a launcher starts. Their store is a file: no port can be taken by somebody else.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import sys
import time
import traceback
from collections.abc import Callable
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

import torch

WAIT = float(os.environ.get("PARROT_TEST_WAIT", "150"))  # seconds for two processes; more on a busy machine
LIBRARIES = ["torch", "transformers.trainer", "accelerate", "peft", "parrot_adapters.adapter.handle"]
LIBRARIES += [f"transformers.models.{name}.modeling_{name}" for name in ("llava", "llama", "clip")]


def together(folder: Path, task: Callable[..., Any], **arguments: Any) -> list[Any]:
    """What ``task(rank, **arguments)`` answers in each of two processes.

    Args:
        folder: an empty one, for what they write.
        task: a function of a module.
        arguments: of it.
    """
    folder.mkdir(parents=True)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(LIBRARIES)
    processes = [context.Process(target=_run, args=(rank, folder, task, arguments)) for rank in range(2)]
    for process in processes:
        process.start()
    running, end = list(processes), time.monotonic() + WAIT
    while running and all(process.exitcode in (None, 0) for process in processes):
        if not wait([process.sentinel for process in running], timeout=max(0.0, end - time.monotonic())):
            break
        running = [process for process in running if process.exitcode is None]
    hangs = all(process.exitcode in (None, 0) for process in processes) and bool(running)
    for process in running:  # the other one has failed, or they wait for each other
        process.kill()
    for process in processes:
        process.join()
    if any(process.exitcode for process in processes):
        printed = "\n".join((folder / f"printed.{rank}").read_text("utf-8")[-4000:] for rank in range(2))
        raise AssertionError(f"{'hangs' if hangs else 'fails'}: {[p.exitcode for p in processes]}\n{printed}")
    return [torch.load(folder / f"answer.{rank}", weights_only=False) for rank in range(2)]


def _run(rank: int, folder: Path, task: Callable[..., Any], arguments: dict[str, Any]) -> None:
    printed = (folder / f"printed.{rank}").open("w", buffering=1, encoding="utf-8")
    for stream in (1, 2):
        os.dup2(printed.fileno(), stream)
    here = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2, "MASTER_PORT": 1}
    os.environ.update({name: str(value) for name, value in here.items()}, MASTER_ADDR="127.0.0.1")
    os.environ["ACCELERATE_USE_CPU"] = "true"
    torch.set_num_threads(1)
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        try:
            torch.distributed.init_process_group("gloo", f"file://{folder / 'store'}", rank=rank, world_size=2)
            torch.save(task(rank, **arguments), folder / f"answer.{rank}")
            torch.distributed.barrier()
            torch.distributed.destroy_process_group()
        except BaseException:
            traceback.print_exc()
            printed.flush()
            os._exit(1)  # without waiting for the other process
    sys.stdout.flush()
